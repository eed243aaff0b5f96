import asyncio

import asyncpg
import pytest

from scanhop.stores.errors import StoreRejected, StoreUnavailable
from scanhop.stores.postgres import Postgres


@pytest.fixture
async def postgres(postgres_dsn):
    client = Postgres(postgres_dsn, max_connections=2, command_timeout_s=2)
    yield client
    await client.close()


async def test_a_bad_parameter_is_no_unavailable_store(postgres):
    with pytest.raises(asyncpg.DataError, match="no number"):
        async with postgres.connection() as connection:
            await connection.fetchval("SELECT $1::int", "no number")


async def test_a_connection_that_is_cut_is_an_unavailable_store_and_the_next_call_connects_anew(postgres):
    with pytest.raises(StoreUnavailable):  # noqa: PT012
        async with postgres.connection() as connection, postgres.connection() as other:
            await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
            await connection.execute("SELECT 1")
    await postgres.ping()


async def test_a_refused_statement_is_no_unavailable_store(postgres):
    with pytest.raises(asyncpg.PostgresSyntaxError):
        async with postgres.connection() as connection:
            await connection.execute("SELECT FROM FROM")


async def test_a_refused_statement_is_told_as_such_to_who_goes_on_without(postgres):
    with pytest.raises(StoreRejected):
        async with postgres.checked_connection() as connection:
            await connection.execute("SELECT FROM FROM")


async def test_a_database_that_is_not_migrated_is_unavailable(stack):
    client = Postgres(stack.postgres_dsn, max_connections=1, command_timeout_s=1)
    with pytest.raises(StoreUnavailable, match="alembic_version"):
        await client.ping()
    await client.close()


async def test_a_cancelled_statement_is_unavailable(postgres):
    with pytest.raises(StoreUnavailable):  # noqa: PT012
        async with postgres.connection() as connection, postgres.connection() as other:
            running = asyncio.create_task(connection.execute("SELECT pg_sleep(5)"))
            await asyncio.sleep(0.2)
            await other.execute("SELECT pg_cancel_backend($1)", connection.get_server_pid())
            await running


async def test_a_postgres_that_is_away_is_unavailable():
    client = Postgres("postgresql://nobody@127.0.0.1:1/none", max_connections=1, command_timeout_s=1)
    with pytest.raises(StoreUnavailable):
        await client.ping()
    await client.close()


async def test_json_comes_back_as_it_went_in(postgres):
    async with postgres.connection() as connection:
        for value in ({"a": [1, None, "\u20ac"]}, [], True):
            assert await connection.fetchval("SELECT $1::jsonb", value) == value


async def test_what_is_done_in_a_joined_transaction_stands_or_falls_together(postgres):
    async with postgres.connection() as connection:
        await connection.execute("CREATE TABLE joined (number int)")
    done = []

    async def insert(number):
        async with postgres.transaction() as connection:
            await connection.execute("INSERT INTO joined VALUES ($1)", number)
        await postgres.after_commit(lambda: note(number))

    async def note(number):
        async with postgres.connection() as connection:
            done.append((number, await connection.fetchval("SELECT count(*) FROM joined")))

    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with postgres.joined_transaction():
            await insert(1)
            raise ZeroDivisionError
    async with postgres.joined_transaction():
        await insert(2)
        await insert(3)
        assert done == []
    assert done == [(2, 2), (3, 2)]
    await insert(4)
    assert done[-1] == (4, 3)


async def test_a_joined_transaction_in_another_one_leaves_its_work_to_the_outer_commit(postgres):
    done = []

    async def note():
        done.append("worked")

    async with postgres.joined_transaction():
        async with postgres.joined_transaction():
            await postgres.after_commit(note)
        assert done == []
    assert done == ["worked"]


async def test_a_joined_transaction_takes_its_connection_when_one_is_asked_for(postgres_dsn):
    postgres = Postgres(postgres_dsn, max_connections=1, command_timeout_s=2)
    begun = []

    async def begin(connection):
        begun.append(await connection.fetchval("SELECT pg_current_xact_id()"))

    async with postgres.joined_transaction(first=begin):
        await asyncio.create_task(other_task_asks(postgres))
        async with postgres.joined_transaction(), postgres.connection(joins=False):
            assert begun == []
        async with postgres.connection() as joined, postgres.connection(joins=False) as same:
            assert begun == [await joined.fetchval("SELECT pg_current_xact_id()")]
            assert joined is same
    await postgres.close()


async def other_task_asks(postgres):
    async with postgres.connection(joins=False) as connection:
        assert not connection.is_in_transaction()


async def test_a_task_that_outlives_the_transaction_has_connections_of_its_own(postgres):
    over = asyncio.Event()

    async def ask_later():
        await over.wait()
        async with postgres.connection() as connection:
            return connection.is_in_transaction()

    async with postgres.joined_transaction():
        later = asyncio.create_task(ask_later())
    over.set()
    assert not await later
