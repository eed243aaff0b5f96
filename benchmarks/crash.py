"""Whether every scan is one row, whatever is killed under load: the crash rule, many rounds for each fault.

Runs the whole product (`scanhop up`) on loopback with two edge workers. In each round eight phones send 400 scans a
second, each with a nonce of its own; at a moment of chance a part of the product gets SIGKILL and is started again,
by its supervisor or, where everything was killed, by the next `scanhop up` on the same data. Then the rows are held
against what the phones sent and what was answered. Prints a table and writes benchmarks/results/crash.json; ends with
1 when a rule was broken. The harness is that of tests/faults/test_kill.py.
"""

import argparse
import json
import logging
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine.description import describe_machine
from tests.faults.kills import FAULTS, product_on_fixed_ports, strike_in_a_round
from tests.faults.phones import Account, new_codes
from tests.product import Product

ROUNDS = 20
CODES = 4
RESULTS = Path(__file__).parent / "results" / "crash.json"
COLUMNS = {
    "sent": "sent",
    "answered": "answered",
    "rows": "rows",
    "missing": "missing",
    "doubled": "doubled",
    "broken": "broken requests",
    "unanswered": "rows without an answer",
}
console = Console(width=140)


def main() -> int:
    wanted = _arguments()
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)  # it is asked while it is down
    about = describe_machine() | {"chdb": version("chdb-core"), "seed": wanted.seed, "rounds": wanted.rounds}
    console.print(f"seed {wanted.seed}, {wanted.rounds} rounds for each fault")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # Postgres runs as another user
        with product_on_fixed_ports(Path(name) / "data") as product:
            accounts = _measure(product, wanted)
    console.print(_table(accounts))
    violations = {fault: _violations(rounds) for fault, rounds in accounts.items()}
    for fault, said in violations.items():
        for violation in said:
            console.print(f"{fault}: {violation}", markup=False)
    if list(accounts) == list(FAULTS) and wanted.rounds >= ROUNDS:
        faults = {fault: _totals(rounds) | {"violations": violations[fault]} for fault, rounds in accounts.items()}
        RESULTS.write_text(json.dumps({"about": about, "faults": faults}, indent=2) + "\n")
    return int(any(violations.values()))


def _measure(product: Product, wanted: "_Wanted") -> dict[str, list[Account]]:
    chooser = random.Random(wanted.seed)
    urls = new_codes(product, "crash@example.com", CODES)
    accounts: dict[str, list[Account]] = {}
    for fault in wanted.faults:
        console.print(f"kill -9 of {fault}", end=" ")
        accounts[fault] = []
        for _ in range(wanted.rounds):
            account = strike_in_a_round(product, urls, FAULTS[fault], chooser)
            accounts[fault].append(account)
            console.print("!" if account.violations() else ".", end="")
        console.print()
    return accounts


def _totals(rounds: Sequence[Account]) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for account in rounds:
        totals.update(asdict(account))
    return {"rounds": len(rounds), **totals}


def _violations(rounds: Sequence[Account]) -> list[str]:
    return [f"round {number}: {said}" for number, account in enumerate(rounds, 1) for said in account.violations()]


def _table(accounts: dict[str, list[Account]]) -> Table:
    table = Table()
    table.add_column("kill -9 of", no_wrap=True)
    for title in ("rounds", *COLUMNS.values()):
        table.add_column(title, justify="right")
    for fault, rounds in accounts.items():
        totals = _totals(rounds)
        table.add_row(fault, *(str(totals[column]) for column in ("rounds", *COLUMNS)))
    return table


class _Wanted(argparse.Namespace):
    rounds: int
    seed: int
    faults: Sequence[str]


def _arguments() -> _Wanted:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"for each fault; default: {ROUNDS}")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="default: by chance")
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS), help="default: all")
    return parser.parse_args(namespace=_Wanted())


if __name__ == "__main__":
    sys.exit(main())
