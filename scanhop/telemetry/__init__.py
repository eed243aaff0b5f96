"""What a process says of itself: logs and metrics. Never an address of a client, never a key."""
