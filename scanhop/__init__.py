"""What the three processes of Scanhop share: formats, routing rules, stores, spool, supervision, commands."""
