"""How to reach Postgres, Redis and ClickHouse, and what more than one process reads or writes there."""
