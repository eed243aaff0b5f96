"""The state of the API itself."""
