"""Clients that spend one wallet to nothing through an API that is killed under them.

Each client takes credits under keys of its own, by deductions, by token usage, by creating codes that have a price
and by reservations that it settles, and goes on until there is nothing left. It repeats what got no answer, sometimes
what got one, and sometimes goes away in the middle; all under the same key. Afterwards the books, and the codes, are
held against the answers that were accepted.
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from control_api.credits.proof import LedgerProof
from scanhop.stores.postgres import Postgres

ADMIN_KEY = "the-platform-admin-key"
START_S = 60.0
MODEL = "one-credit-a-token"
CODE_PRICE = 3
HOLD_S = 86_400
NOT_YET = {"idempotency_key_in_use", "rate_limited", "store_unavailable"}
BOOKS = """
    SELECT coalesce(split_part(r.idempotency_key, ':', 2), split_part(e.idempotency_key, ':', 2), e.reference) AS key,
           e.amount, e.balance_after
    FROM credit_entries e
    LEFT JOIN credit_reservations r ON r.workspace_id = e.workspace_id AND r.entry_id = e.id
    WHERE e.workspace_id = $1 AND e.amount < 0
"""

Send = Callable[[str, int], Awaitable[httpx.Response]]


@dataclass
class Tally:
    """What the clients were told. `accepted`: credits by key, of the first answer to each."""

    accepted: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    contradictions: list[str] = field(default_factory=list)

    def hear(self, key: str, taken: int) -> None:
        earlier = self.accepted.setdefault(key, taken)
        if earlier != taken or key in self.refused:
            self.contradictions.append(f"{key}: {taken}, before {earlier}")


class KilledApi:
    """`scanhop api` on a port of its own, that is killed and started again."""

    def __init__(self, postgres_dsn: str, redis_url: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.bind = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{self.bind}"
        self._env = {
            **os.environ,
            "SCANHOP_POSTGRES_DSN": postgres_dsn,
            "SCANHOP_REDIS_URL": redis_url,
            "SCANHOP_CLICKHOUSE_URL": "http://127.0.0.1:9/",
            "SCANHOP_ADMIN_KEY": ADMIN_KEY,
            "SCANHOP_SECRET_KEY": "the-secret-key-that-outlives-the-process",
            "SCANHOP_API_BIND": self.bind,
            "SCANHOP_LOG_LEVEL": "error",
        }

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scanhop", "api"], env=self._env, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    async def until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        async with httpx.AsyncClient() as client:
            while time.monotonic() < deadline:
                with suppress(httpx.TransportError):
                    if (await client.get(f"{self.url}/")).status_code == 200:
                        return
                await asyncio.sleep(0.1)
        raise AssertionError("the API does not start")


class Spender:
    """One client."""

    def __init__(self, number: int, http: httpx.AsyncClient, workspace_id: str, key: str, tally: Tally) -> None:
        self._chance = random.Random(number)
        self._http = http
        self._workspace_id = workspace_id
        self._member = {"Authorization": f"Bearer {key}"}
        self._tally = tally
        self._reservations: dict[str, str] = {}

    async def spend(self) -> None:
        """Until a single credit cannot be had."""
        while await self._take(self._chance.randint(1, 20)) or await self._take(1):
            pass

    async def _take(self, amount: int) -> bool:
        ways = [self._deduct, self._report, self._reserve_and_settle]
        key, send = str(uuid4()), self._chance.choice([*ways, self._create_code] if amount >= CODE_PRICE else ways)
        taken = await self._send(send, key, amount)
        for _ in range(self._chance.choice([0, 0, 0, 1, 2])):
            self._tally.counts["repeated after an answer"] += 1
            again = await self._send(send, key, amount)
            if again != taken:
                self._tally.contradictions.append(f"{key}: {taken}, then {again}")
        return taken > 0

    async def _send(self, send: Send, key: str, amount: int) -> int:
        """What was taken, by the first answer that comes."""
        while True:
            try:
                goes_away = self._chance.random() < 0.1
                patience = self._chance.uniform(0.001, 0.05) if goes_away else 20.0
                async with asyncio.timeout(patience):
                    answer = await send(key, amount)
            except TimeoutError:
                self._tally.counts["went away"] += 1
                continue
            except httpx.TransportError:
                self._tally.counts["lost the connection"] += 1
                await asyncio.sleep(self._chance.uniform(0.05, 0.3))
                continue
            self._tally.counts[f"status {answer.status_code}"] += 1
            if answer.is_success:
                taken = _taken_by(answer.json())
                self._tally.hear(key, taken)
                return taken
            if answer.status_code == 402:
                self._tally.refused.add(key)
                return 0
            if answer.status_code == 500:
                self._tally.contradictions.append(f"{key}: {answer.text}")
            elif answer.json()["code"] not in NOT_YET:
                raise AssertionError(answer.text)
            await asyncio.sleep(0.1)

    async def _deduct(self, key: str, amount: int) -> httpx.Response:
        body = {"workspace_id": self._workspace_id, "amount": amount, "reason": "spent", "idempotency_key": key}
        return await self._http.post("/v1/admin/credits/deduct", headers={"X-API-Key": ADMIN_KEY}, json=body)

    async def _report(self, key: str, amount: int) -> httpx.Response:
        body = {"request_id": key, "model": MODEL, "prompt_tokens": amount, "completion_tokens": 0}
        return await self._http.post("/v1/token_used", headers=self._member, json=body)

    async def _create_code(self, key: str, amount: int) -> httpx.Response:
        """The entry refers to the request by its id."""
        headers = self._member | {"Idempotency-Key": key, "X-Request-Id": key}
        body = {"name": key, "target_url": "https://example.com/"}
        return await self._http.post("/v1/qr-codes", headers=headers, json=body)

    async def _reserve_and_settle(self, key: str, amount: int) -> httpx.Response:
        url = "/v1/credits/reservations"
        if key not in self._reservations:
            body = {"amount": amount, "idempotency_key": key, "hold_s": HOLD_S}
            answer = await self._http.post(url, headers=self._member, json=body)
            if not answer.is_success:
                return answer
            self._reservations[key] = answer.json()["id"]
        settlement = f"{url}/{self._reservations[key]}/settle"
        return await self._http.post(settlement, headers=self._member, json={"amount": amount})


def _taken_by(body: dict[str, Any]) -> int:
    if "charged" in body:
        return int(body["charged"])
    return -int(body["entry"]["amount"]) if "entry" in body else CODE_PRICE


async def spend_to_nothing(
    postgres_dsn: str, redis_url: str, *, clients: int, funds: int, kills: int, seed: int
) -> dict[str, object]:
    """The figures of the run; `faults` lists what was not as it must be."""
    api, tally, chance = KilledApi(postgres_dsn, redis_url), Tally(), random.Random(seed)
    api.start()
    try:
        await api.until_ready()
        limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
        async with httpx.AsyncClient(base_url=api.url, limits=limits, timeout=20) as http:
            workspace_id, key = await _open_wallet(http, funds)
            started = time.perf_counter()
            spenders = [Spender(seed + number, http, workspace_id, key, tally) for number in range(clients)]
            spending = [asyncio.create_task(each.spend()) for each in spenders]
            done = await _kill_while(spending, api, kills, funds, tally, chance)
            await asyncio.gather(*spending)
            seconds = time.perf_counter() - started
    finally:
        api.kill()
    return await _hold_books_against(postgres_dsn, UUID(workspace_id), funds, tally) | {
        "clients": clients,
        "funds": funds,
        "kills": done,
        "seconds": round(seconds, 1),
        "seed": seed,
        "answers": dict(sorted(tally.counts.items())),
    }


async def _open_wallet(http: httpx.AsyncClient, funds: int) -> tuple[str, str]:
    admin = {"X-API-Key": ADMIN_KEY}
    user = (await http.post("/v1/admin/users", headers=admin, json={"email": "spender@example.com"})).json()
    workspace_id = user["workspace"]["id"]
    tokens = {"action": "ai.tokens", "model": MODEL, "credits": 1_000_000, "completion_credits": 0}
    code = {"action": "qr_code.created", "credits": CODE_PRICE}
    wallet = {"workspace_id": workspace_id, "amount": funds, "reason": "funds"}
    for path, body in (("prices", tokens), ("prices", code), ("add", wallet)):
        answer = await http.post(f"/v1/admin/credits/{path}", headers=admin, json=body)
        assert answer.is_success, answer.text
    return workspace_id, user["api_key"]


async def _kill_while(
    spending: "list[asyncio.Task[None]]", api: KilledApi, kills: int, funds: int, tally: Tally, chance: random.Random
) -> int:
    """Spread over the spending, by what is spent."""
    done = 0
    while done < kills and not all(task.done() for task in spending):
        await asyncio.sleep(0.01)
        if sum(tally.accepted.values()) >= funds * (done + chance.random()) / (kills + 1):
            api.kill()
            api.start()
            await api.until_ready()
            done += 1
    return done


async def _list_names(connection: "asyncpg.Connection[asyncpg.Record]", workspace_id: UUID) -> list[str]:
    rows = await connection.fetch("SELECT name FROM qr_codes WHERE workspace_id = $1", workspace_id)
    return [row["name"] for row in rows]


async def _hold_books_against(dsn: str, workspace_id: UUID, funds: int, tally: Tally) -> dict[str, object]:
    connection = await asyncpg.connect(dsn)
    balance, reserved = await connection.fetchrow(
        "SELECT balance, reserved FROM wallets WHERE workspace_id = $1", workspace_id
    )
    rows = await connection.fetch(BOOKS, workspace_id)
    sum_of_entries = int(
        await connection.fetchval("SELECT sum(amount) FROM credit_entries WHERE workspace_id = $1", workspace_id)
    )
    codes = Counter(await _list_names(connection, workspace_id))
    paid_codes = await connection.fetchval(
        "SELECT count(*) FROM credit_entries WHERE workspace_id = $1 AND action = 'qr_code.created'", workspace_id
    )
    await connection.close()
    postgres = Postgres(dsn, max_connections=1, command_timeout_s=60)
    report = await LedgerProof(postgres).examine()
    await postgres.close()
    effects = Counter(row["key"] for row in rows)
    booked = {row["key"]: -row["amount"] for row in rows}
    accepted = {key: taken for key, taken in tally.accepted.items() if taken}
    faults = [*tally.contradictions, *(str(each) for each in report.disagreements)]
    faults += [f"{key} has {count} effects" for key, count in effects.items() if count > 1]
    faults += [
        f"{key} was booked {booked.get(key)}, answered {accepted.get(key)}"
        for key in booked.keys() | accepted.keys()
        if booked.get(key) != accepted.get(key)
    ]
    faults += [f"{count} codes were made with the key {key}" for key, count in codes.items() if count > 1]
    if codes.total() != paid_codes:
        faults.append(f"{codes.total()} codes were made, {paid_codes} were paid")
    if (balance, reserved, sum_of_entries, sum(accepted.values())) != (0, 0, 0, funds):
        faults.append(
            f"balance {balance}, reserved {reserved}, sum of entries {sum_of_entries}, "
            f"accepted {sum(accepted.values())} of {funds}"
        )
    return {
        "balance": balance,
        "lowest_balance": min((row["balance_after"] for row in rows), default=None),
        "entries": len(rows),
        "codes": codes.total(),
        "sum_of_entries": sum_of_entries,
        "accepted": sum(accepted.values()),
        "faults": faults,
    }
