"""A load test that believes nothing: each answer is held against what was promised at the time.

`locustfile.py` is the part that needs locust; what is sent and what is allowed is decided here, without it.
"""
