"""How often a caller may ask: by the generic cell rate algorithm (GCRA), in Redis, so for all processes together.

Invariants:
- A bucket is one moment: when it will be full again. All figures are whole microseconds; the time is Redis' own.
- One round trip for each limited request, and none for the others.
- When Redis is away or slow each process limits by itself, more strictly (a quarter of the burst and of the rate),
  in memory that is bounded. Redis is then asked again once in RETRY_S, by one request: no other waits for it.
"""
