"""Whether credits are overdrawn, lost or doubled, whatever happens to those who spend them.

200 clients spend a wallet of 10,000 over HTTP to nothing, by deductions, token usage, codes that have a price and
reservations that are settled, with random repetitions, dropped connections and duplicate keys, while `scanhop api` is
killed (kill -9) and started again, ROUNDS times. Afterwards each key must have had one effect, the one that its
answers told, and each code been paid; the sum of the entries, the balance and what was accepted must agree, the
balance must never have been below 0, and no answer a 500. Prints each round; writes
benchmarks/results/ledger_faults.json; ends with code 1 when a round found a fault.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.machine.description import describe_machine
from scanhop.devstack import EmbeddedStack
from scanhop.stores.migrations import migrate
from tests.databases import new_databases
from tests.faults.spending import spend_to_nothing

RESULTS = Path(__file__).parent / "results" / "ledger_faults.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--funds", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=5)
    said = parser.parse_args()
    about = describe_machine(("scanhop", "asyncpg", "httpx", "uvicorn"))
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with EmbeddedStack(Path(folder) / "stack") as stack:
            for number in range(said.rounds):
                dsn, clickhouse_url = new_databases(stack.addresses, f"round_{number}")
                asyncio.run(migrate(dsn, clickhouse_url))
                run = spend_to_nothing(
                    dsn,
                    str(stack.addresses.redis_url),
                    clients=said.clients,
                    funds=said.funds,
                    kills=said.kills,
                    seed=1000 * number,
                )
                rounds.append(asyncio.run(run))
                print(json.dumps(rounds[-1]))
    faults = sum(len(each["faults"]) for each in rounds)  # type: ignore[arg-type]
    RESULTS.write_text(json.dumps({"about": about, "faults": faults, "rounds": rounds}, indent=2) + "\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
