"""What ingest is measured with: a backlog as edges leave it, the plain way of doing the same, the real process."""
