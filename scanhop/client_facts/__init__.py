"""What a request says of its sender: pure functions shared by the edge's rules, the API's dry run and ingest."""
