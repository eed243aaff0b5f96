"""Many clients, one wallet, an API that is killed: the short form of benchmarks/ledger_faults.py."""

from tests.faults.spending import spend_to_nothing


async def test_a_wallet_is_spent_to_nothing_and_never_below_while_the_api_is_killed(postgres_dsn, redis_url):
    found = await spend_to_nothing(postgres_dsn, redis_url, clients=24, funds=600, kills=2, seed=7)
    assert found["faults"] == []
    assert (found["balance"], found["lowest_balance"], found["accepted"]) == (0, 0, 600)
    assert found["kills"] == 2
