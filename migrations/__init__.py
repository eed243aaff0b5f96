"""The schemas of Postgres (Alembic, plain SQL) and ClickHouse (numbered SQL), as package data."""
