"""Formats that cross a process boundary: pure, no I/O, no clock."""
