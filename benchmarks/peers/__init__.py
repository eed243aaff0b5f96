"""What the edge is compared with: programs that answer the same requests with an equivalent redirect."""
