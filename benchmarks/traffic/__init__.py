"""What phones send: their header blocks, and which code is scanned how often."""
