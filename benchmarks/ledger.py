"""What a debit costs: per second on one hot wallet and on 1,000, CPU and round trips, beside the usual ways.

The same embedded Postgres, the same pool, CLIENTS tasks. Each round measures every contender under every row for
SECONDS, in an order that shifts; ratios are taken within a round, medians over the rounds. CPU for each debit is told
apart: of this process (the client: ledger, driver, loop) and of the embedded engines' processes, of which Postgres
alone has work. On the hot wallet the CLIENTS of this one process share commits, up to CLIENTS debits each, as the
product's requests do; the contenders commit each debit by itself. A second table says what charging a route costs:
creating a QR code free of charge, with the debit in its transaction, and with reserve and settle around it. Every run
ends with the proof of the books. Writes benchmarks/results/ledger.json.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

from benchmarks.ledger_path.naive import TABLES, NaiveBalance, NaiveBooks
from benchmarks.machine.description import describe_machine
from benchmarks.machine.process_tree import TreeChanged, read_cpu
from control_api.app import build_app
from control_api.clock import utc_now
from control_api.credits.charging import Charging, Cost, Effect
from control_api.credits.ledger import Ledger
from control_api.credits.model import EntryKind, Facts
from control_api.credits.platform_repository import PlatformRepository
from control_api.credits.prices import PriceList
from control_api.credits.proof import LedgerProof
from control_api.qr_codes.endpoints import author_of
from control_api.qr_codes.schemas import QrCodeWanted
from control_api.settings import ApiSettings
from control_api.web.authentication import Member
from control_api.web.permissions import Role
from scanhop.devstack import EmbeddedStack
from scanhop.stores.migrations import migrate
from scanhop.stores.postgres import Postgres
from scanhop.wire.ids import WorkspaceId

CLIENTS = 16
CONNECTIONS = 8
WALLETS = 1000
FUNDS = 10**9
RESULTS = Path(__file__).parent / "results" / "ledger.json"

Debit = Callable[[UUID], Awaitable[object]]


class Ours:
    """The product's ledger, by its one statement."""

    def __init__(self, postgres: Postgres) -> None:
        self._ledger = Ledger(postgres)

    async def fill(self, workspace_id: UUID, amount: int) -> None:
        await self._ledger.credit(workspace_id, EntryKind.GRANT, amount, Facts("bench"))

    async def debit(self, workspace_id: UUID, amount: int) -> bool:
        facts = Facts("bench", idempotency_key=str(uuid4()))
        return (await self._ledger.debit(workspace_id, EntryKind.USAGE, amount, facts)).charged == amount


async def measure(debit: Debit, wallets: Sequence[UUID], seconds: float) -> dict[str, float]:
    """Per second, and µs of CPU for each, of this process and of the engines below it."""
    done, ends = 0, time.perf_counter() + seconds

    async def spend(chance: random.Random) -> None:
        nonlocal done
        while time.perf_counter() < ends:
            if not await debit(chance.choice(wallets)):
                raise RuntimeError("a debit was refused")
            done += 1

    before, own, started = read_cpu(os.getpid()), time.process_time_ns(), time.perf_counter()
    await asyncio.gather(*(spend(random.Random(seed)) for seed in range(CLIENTS)))
    took = time.perf_counter() - started
    client_ns = time.process_time_ns() - own
    figures = {"per_second": done / took, "client_cpu_us": client_ns / done / 1000}
    with suppress(TreeChanged):  # Postgres started or ended a process of its own: this round has no figure of it
        figures["server_cpu_us"] = (read_cpu(os.getpid()).since(before) - client_ns) / done / 1000
    return figures


async def count_round_trips(postgres: Postgres, contender: Ours | NaiveBalance) -> int:
    """Statements of one debit, BEGIN and COMMIT among them; the pool's reset afterwards, the same for all, apart."""
    workspace, seen = uuid4(), []
    await contender.fill(workspace, FUNDS)
    await contender.debit(workspace, 1)
    async with postgres.connection() as connection:
        raw = connection._con  # type: ignore[union-attr]
        raw.add_query_logger(seen.append)
    await contender.debit(workspace, 1)
    raw._query_loggers.clear()
    return sum(not record.query.startswith("SELECT pg_advisory_unlock_all") for record in seen)


async def compare(dsn: str, rounds: int, seconds: float) -> dict[str, object]:
    postgres, one = (Postgres(dsn, max_connections=size, command_timeout_s=30) for size in (CONNECTIONS, 1))
    async with postgres.connection() as connection:
        await connection.execute(TABLES)
    contenders = {"ours": Ours, "select_for_update": NaiveBalance, "select_for_update_with_lots": NaiveBooks}
    rows: dict[str, dict[str, list[dict[str, float]]]] = {}
    wallets = {"one_hot_wallet": [uuid4()], f"{WALLETS}_wallets": [uuid4() for _ in range(WALLETS)]}
    for made in (Ours(postgres), NaiveBalance(postgres)):
        for each in wallets.values():
            await asyncio.gather(*(made.fill(workspace_id, FUNDS) for workspace_id in each))
    trips = {name: await count_round_trips(one, make(one)) for name, make in contenders.items()}
    for number in range(rounds):
        for row, of_row in wallets.items():
            names = list(contenders)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                made = contenders[name](postgres)
                figures = await measure(lambda wallet, made=made: made.debit(wallet, 1), of_row, seconds)
                rows.setdefault(row, {}).setdefault(name, []).append(figures)
    report = await LedgerProof(postgres).examine()
    for each in (postgres, one):
        await each.close()
    return {
        "round_trips": trips,
        "rows": {row: summarise(found) for row, found in rows.items()},
        "proof": {"wallets": report.wallets, "entries": report.entries, "agrees": report.agrees},
    }


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Of what was measured; without what no round could tell."""
    names = ("per_second", "client_cpu_us", "server_cpu_us")
    measured = {name: [each[name] for each in rounds if name in each] for name in names}
    return {name: round(statistics.median(values), 1) for name, values in measured.items() if values}


def summarise(found: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    ours = [each["per_second"] for each in found["ours"]]
    told = {}
    for name, rounds in found.items():
        told[name] = medians(rounds) | {
            "ours_is_faster_by": round(
                statistics.median(mine / each["per_second"] for mine, each in zip(ours, rounds, strict=True)), 2
            ),
        }
    return told


async def charge_routes(dsn: str, redis_url: str, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Creating codes in one workspace, each way of charging it."""
    settings = ApiSettings(
        dsn, redis_url, "http://127.0.0.1:9/", "https://qr.example", postgres_connections=CONNECTIONS
    )
    app = build_app(settings)
    postgres = app.state.users._postgres
    new = await app.state.users.create("bench@example.com", None, "user", "system")
    caller = Member(WorkspaceId(new.workspace.id), new.user.id, Role.OWNER, frozenset("*"), None)
    ledger, prices = Ledger(postgres), PriceList(postgres, PlatformRepository(), utc_now)
    await ledger.credit(caller.workspace_id, EntryKind.GRANT, FUNDS, Facts("bench"))
    async with postgres.connection() as connection:
        await connection.execute(
            "INSERT INTO credit_prices (action, credits, valid_from, set_by) "
            "VALUES ('qr_code.created', 1, now(), 'bench')"
        )
    charging = Charging(postgres, ledger, prices)
    wanted = QrCodeWanted.model_validate({"name": "n", "target_url": "https://example.com/"})

    async def create() -> object:
        return await app.state.code_creation.create(author_of(caller), wanted.to_model())

    ways: dict[str, Debit] = {"free": lambda _: create()}
    for effect in Effect:
        cost = Cost("qr_code.created", effect, lambda _: 1)
        ways[effect.value] = lambda _, cost=cost: charging.charge(caller, cost, create)
    found: dict[str, list[dict[str, float]]] = {}
    for number in range(rounds):
        names = list(ways)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            found.setdefault(name, []).append(await measure(ways[name], [new.workspace.id], seconds))
    report = await LedgerProof(postgres).examine()
    if not report.agrees:
        raise RuntimeError(str(report.disagreements))
    await postgres.close()
    return {name: medians(rounds_of_it) for name, rounds_of_it in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--quick", action="store_true", help="One short round, writes nothing")
    said = parser.parse_args()
    rounds, seconds = (1, 0.3) if said.quick else (said.rounds, said.seconds)
    about = describe_machine(("scanhop", "asyncpg"))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with EmbeddedStack(Path(folder) / "stack") as stack:
            dsn = str(stack.addresses.postgres_dsn)
            asyncio.run(migrate(dsn, str(stack.addresses.clickhouse_url)))
            found = asyncio.run(compare(dsn, rounds, seconds))
            found["charging_a_route"] = asyncio.run(
                charge_routes(dsn, str(stack.addresses.redis_url), rounds, seconds)
            )
    print(json.dumps(found, indent=2))
    if not said.quick:
        RESULTS.write_text(
            json.dumps({"about": about, "rounds": rounds, "seconds": seconds} | found, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
