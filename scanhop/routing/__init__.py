"""What a scan of a code leads to: pure functions, no I/O, the clock passed in."""
