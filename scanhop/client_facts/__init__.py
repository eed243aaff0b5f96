"""What a request says of its sender: shared by the edge's rules, the API's dry run and ingest."""
