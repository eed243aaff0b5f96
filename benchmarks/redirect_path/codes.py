"""The codes that are scanned: rows in Postgres, written by COPY; `scanhop worker` publishes them to Redis.

A hundred thousand calls of the API would take longer than all that is measured.
"""

import json
import time
from collections.abc import Iterable, Sequence
from uuid import UUID

import asyncpg
import redis

from scanhop.wire.ids import DEFAULT_DOMAIN_ID, uuid7
from scanhop.wire.redis_keys import ROUTES_COMPLETE_KEY

HOT_CODE, HOT_TARGET = "menu", "https://www.example.com/menu/today"
RULED_CODE, DEFAULT_TARGET = "festival", "https://www.example.com/festival"
GERMAN_TARGET, ASIAN_TARGET = DEFAULT_TARGET + "/de", DEFAULT_TARGET + "/asia"
MANY_FORMAT = "m%06d"
MANY_TARGET = "https://www.example.com/item/1"
PUBLISHED_WITHIN_S = 120.0

EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
RULES = [
    {
        "id": "over",
        "when": [
            {"field": "device", "op": "in", "value": ["tablet", "mobile"]},
            {"field": "date", "op": "between", "value": {"from": "2020-01-01", "to": "2021-01-01"}},
        ],
        "target_url": DEFAULT_TARGET + "/over",
    },
    {
        "id": "asia",
        "when": [
            {"field": "country", "op": "in", "value": ["JP", "KR"]},
            {"field": "language", "op": "in", "value": ["ja", "ko"]},
        ],
        "target_url": ASIAN_TARGET,
    },
    {
        "id": "german",
        "when": [
            {"field": "device", "op": "in", "value": ["mobile"]},
            {"field": "country", "op": "in", "value": ["DE", "AT", "CH"]},
            {"field": "language", "op": "in", "value": ["de"]},
            {"field": "weekday", "op": "in", "value": EVERY_DAY, "timezone": "Europe/Berlin"},
        ],
        "target_url": GERMAN_TARGET,
    },
]


class NotPublished(Exception):
    """The worker did not put the codes into Redis in time."""


async def store_codes(dsn: str, many: int) -> None:
    """The hot code, the one with rules, and `many` others, into Postgres."""
    connection = await asyncpg.connect(dsn)
    try:
        workspace_id = uuid7(time.time_ns())
        await connection.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'benchmark')", workspace_id)
        columns = ("id", "workspace_id", "domain_id", "short_code", "name", "target_url", "rules")
        await connection.copy_records_to_table("qr_codes", records=_rows(workspace_id, many), columns=columns)
    finally:
        await connection.close()


def wait_until_published(redis_url: str) -> None:
    """Until the worker vouches for it that Redis holds every code. Raises NotPublished."""
    deadline = time.monotonic() + PUBLISHED_WITHIN_S
    with redis.Redis.from_url(redis_url) as client:
        while not client.exists(ROUTES_COMPLETE_KEY):
            if time.monotonic() > deadline:
                raise NotPublished(f"the worker did not publish the codes within {PUBLISHED_WITHIN_S:.0f} s")
            time.sleep(0.2)


def process_id(redis_url: str) -> int:
    """Of the Redis server."""
    with redis.Redis.from_url(redis_url) as client:
        return int(client.info("server")["process_id"])


def set_plain(redis_url: str, key: str, value: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(key, value)


def _rows(workspace_id: UUID, many: int) -> Iterable[Sequence[object]]:
    codes = [(HOT_CODE, HOT_TARGET, "[]"), (RULED_CODE, DEFAULT_TARGET, json.dumps(RULES))]
    codes += [(MANY_FORMAT % number, MANY_TARGET, "[]") for number in range(many)]
    for code, target, rules in codes:
        yield uuid7(time.time_ns()), workspace_id, DEFAULT_DOMAIN_ID, code, "benchmark", target, rules
