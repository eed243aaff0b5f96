"""What the worker keeps true by the clock: Redis holds every route, counts of scans survive and agree."""
