"""How the API speaks HTTP: problems, paging, credentials, bodies, request ids. Knows nothing of any domain."""
