"""How fast the ledger is: what `benchmarks/ledger.py` measures, and beside what."""
