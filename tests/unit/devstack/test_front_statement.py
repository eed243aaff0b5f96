"""The small lexer of the ClickHouse front."""

import pytest

from scanhop.devstack.clickhouse_front.failure import QueryFailed
from scanhop.devstack.clickhouse_front.statement import find_insert_with_data, parse_statement


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"SELECT 1 FORMAT JSON", "JSON"),
        (b"SELECT 1\n format CSV ;", "CSV"),
        (b"SELECT 1 FORMAT Native SETTINGS max_threads = 1, log_comment = 'FORMAT x'", "Native"),
        (b"SELECT format('{}', 1) FROM t", None),
        (b"SELECT a AS format FROM t", None),
        (b"SELECT 'x FORMAT CSV'", None),
        (b"SELECT $$ FORMAT CSV $$", None),
        (b"SELECT 1 -- FORMAT CSV", None),
        (b"SELECT 1 /* ; */ FORMAT TSV", "TSV"),
    ],
)
def test_output_format_is_the_trailing_one(text: bytes, expected: str | None) -> None:
    assert parse_statement(text).format_name == expected


@pytest.mark.parametrize("text", [b"SELECT 1; SELECT 2", b"SELECT ';'; DROP TABLE t", b"DROP TABLE t;;SELECT 1"])
def test_several_statements_are_refused(text: bytes) -> None:
    with pytest.raises(QueryFailed) as refused:
        parse_statement(text)
    assert (refused.value.code, refused.value.status) == (62, 400)


@pytest.mark.parametrize("text", [b"", b"  \n", b";", b"-- nothing", b"/* nothing"])
def test_empty_statement_is_refused(text: bytes) -> None:
    with pytest.raises(QueryFailed):
        parse_statement(text)


@pytest.mark.parametrize("text", [b"SELECT 1;", b"SELECT ';' ; -- end", b"SELECT `;`"])
def test_semicolon_at_the_end_or_in_quotes_is_no_second_statement(text: bytes) -> None:
    assert parse_statement(text).first_word == "SELECT"


def test_only_selects_in_blockwise_formats_are_streamable() -> None:
    assert parse_statement(b"WITH 1 AS x SELECT x FORMAT Native").is_streamable("JSON")
    assert parse_statement(b"(SELECT 1)").is_streamable("Native")
    assert not parse_statement(b"SELECT 1 FORMAT JSON").is_streamable("Native")
    assert not parse_statement(b"SHOW TABLES FORMAT Native").is_streamable("Native")
    assert not parse_statement(b"WITH 1 AS x INSERT INTO t SELECT x").is_streamable("Native")


def test_statements_that_outlive_a_request_in_a_session_are_known() -> None:
    assert parse_statement(b"set max_threads = 1").changes_session
    assert parse_statement(b"USE other").changes_session
    assert parse_statement(b"CREATE OR REPLACE TEMPORARY TABLE t (a Int8)").changes_session
    assert not parse_statement(b"CREATE TABLE t (a Int8)").changes_session


@pytest.mark.parametrize(
    ("text", "data", "rewritten"),
    [
        (
            b"INSERT INTO t (a, b) FORMAT Native\n\x00\x01",
            b"\x00\x01",
            b"INSERT INTO t (a, b)  FROM INFILE '/f' COMPRESSION 'none'  FORMAT Native",
        ),
        (b"insert into t values (1)", b"(1)", b"insert into t  FROM INFILE '/f' COMPRESSION 'none'  FORMAT Values"),
        (
            b"INSERT INTO `format`.values SETTINGS a=1, b='FORMAT z' FORMAT CSV  1,2",
            b"1,2",
            b"INSERT INTO `format`.values  FROM INFILE '/f' COMPRESSION 'none' "
            b"SETTINGS a=1, b='FORMAT z'  FORMAT CSV",
        ),
        (
            b"INSERT INTO t (* EXCEPT(values)) FORMAT TSV\r\n\n1",
            b"\n1",
            b"INSERT INTO t (* EXCEPT(values))  FROM INFILE '/f' COMPRESSION 'none'  FORMAT TSV",
        ),
    ],
)
def test_insert_is_split_from_its_data(text: bytes, data: bytes, rewritten: bytes) -> None:
    insert = find_insert_with_data(text)
    assert insert is not None
    assert text[insert.data_offset :] == data
    assert insert.from_file("/f") == rewritten


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 1",
        b"INSERT INTO t SELECT 1 FORMAT Null",
        b"INSERT INTO t WITH 1 AS x SELECT x",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"INSERT INTO t (a, b)",
        b"INSERT INTO t (a) FORMAT",
    ],
)
def test_other_statements_carry_no_data(text: bytes) -> None:
    assert find_insert_with_data(text) is None
