"""Credits: wallets and their ledger, prices, what is charged for what, token usage, the scans of a day."""
