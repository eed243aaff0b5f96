"""Request bodies of the ClickHouse front: encodings, statement and data apart, forms."""

import gzip
import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.devstack.clickhouse_front import body as body_module
from scanhop.devstack.clickhouse_front.body import StatementBody
from scanhop.devstack.clickhouse_front.compression import PIECE, compressor_for, decompressor_for
from scanhop.devstack.clickhouse_front.failure import QueryFailed
from scanhop.devstack.clickhouse_front.form import parse_form
from scanhop.devstack.clickhouse_front.request import Envelope, parse_request


def _zstd(data: bytes) -> bytes:
    compressor = compressor_for("zstd")
    return compressor.compress(data) + compressor.flush()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "lz4": lz4.frame.compress,
    "zstd": _zstd,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


def _read(encoding: str, chunks: list[bytes]) -> bytes:
    decompressor = decompressor_for(encoding)
    plain = b"".join(piece for chunk in chunks for piece in decompressor.feed(chunk))
    decompressor.finish()
    return plain


@pytest.mark.parametrize("encoding", COMPRESS)
@given(blocks=st.lists(st.binary(max_size=300), max_size=6), cut=st.integers(min_value=1, max_value=40))
def test_concatenated_streams_are_all_read_however_they_arrive(encoding: str, blocks: list[bytes], cut: int) -> None:
    sent = b"".join(COMPRESS[encoding](block) for block in blocks)
    chunks = [sent[start : start + cut] for start in range(0, len(sent), cut)]
    assert _read(encoding, chunks) == b"".join(blocks)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_body_that_ends_inside_a_stream_is_refused(encoding: str) -> None:
    sent = COMPRESS[encoding](b"whole") + COMPRESS[encoding](random.Random(1).randbytes(500))
    with pytest.raises(QueryFailed) as refused:
        _read(encoding, [sent[:-5]])
    assert refused.value.code == 271


@pytest.mark.parametrize("encoding", COMPRESS)
def test_body_that_is_no_stream_is_refused(encoding: str) -> None:
    with pytest.raises(QueryFailed) as refused:
        _read(encoding, [b"INSERT INTO t FORMAT Native\n"])
    assert refused.value.code == 271


def test_unknown_encoding_is_refused() -> None:
    with pytest.raises(QueryFailed) as refused:
        decompressor_for("br")
    assert refused.value.code == 89


@pytest.mark.parametrize("encoding", COMPRESS)
def test_much_from_little_comes_in_bounded_pieces(encoding: str) -> None:
    sent = COMPRESS[encoding](bytes(5 * PIECE + 7))
    sizes = [len(piece) for piece in decompressor_for(encoding).feed(sent)]
    assert sum(sizes) == 5 * PIECE + 7
    assert max(sizes) <= PIECE


@given(data=st.binary(max_size=200), cut=st.integers(min_value=1, max_value=60), in_url=st.booleans())
def test_data_is_apart_from_its_insert_however_it_arrives(data: bytes, cut: int, in_url: bool) -> None:
    sent = b"INSERT INTO t (a) FORMAT RowBinary\n" + data
    with StatementBody(Path("/tmp")) as body:  # noqa: S108 - not used below the memory limit
        body._look_at = 1
        chunks = [sent[:35], sent[35:]] if in_url else [sent[at : at + cut] for at in range(0, len(sent), cut)]
        for chunk in chunks:
            body.feed(chunk)
        body.finish()
        assert body.insert is not None
        assert body.data is not None
        assert Path(body.data.path).read_bytes() == data


def test_large_data_moves_to_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "MEMORY_LIMIT", 1000)
    sent = random.Random(2).randbytes(5000)
    with StatementBody(tmp_path) as body:
        body.feed(b"INSERT INTO t FORMAT Native\n")
        body.finish()
        assert body.data is not None
        for start in range(0, 5000, 333):
            body.data.write(sent[start : start + 333])
        assert Path(body.data.path).read_bytes() == sent
        assert os.fstat(int(Path(body.data.path).name)).st_dev == tmp_path.stat().st_dev
        assert list(tmp_path.iterdir()) == []


def test_statement_without_data_has_a_bound(tmp_path: Path) -> None:
    with StatementBody(tmp_path) as body:
        body.feed(b"SELECT " + b"1," * (body_module.STATEMENT_LIMIT // 2 - 100))
        with pytest.raises(QueryFailed) as refused:
            body.feed(b"1," * 100)
    assert refused.value.status == 413


def test_form_parts_keep_their_bytes() -> None:
    sent = (
        b'--XX\r\nContent-Disposition: form-data; name="param_a"\r\n\r\n\r\n--X\r\n\xc3\xa9\r\n'
        b'--XX\r\nContent-Disposition: form-data; name="t"; filename="t.csv"\r\n'
        b"Content-Type: text/csv\r\n\r\n1\r\n2\r\n\r\n--XX--\r\n"
    )
    first, second = parse_form('multipart/form-data; boundary="XX"', sent)
    assert (first.name, first.value, first.is_file) == ("param_a", b"\r\n--X\r\n\xc3\xa9", False)
    assert (second.name, second.value, second.is_file) == ("t", b"1\r\n2\r\n", True)


@pytest.mark.parametrize(
    ("content_type", "sent"), [("multipart/form-data", b""), ("x; boundary=a", b"--a\r\nx\r\n--a--")]
)
def test_broken_form_is_refused(content_type: str, sent: bytes) -> None:
    with pytest.raises(QueryFailed):
        parse_form(content_type, sent)


def test_parameters_that_are_not_transport_become_settings() -> None:
    fields = [
        ("query", "SELECT 1"),
        ("database", "d"),
        ("max_threads", "2"),
        ("param_max_threads", "x"),
        ("session_id", "s"),
    ]
    request = parse_request(Envelope("POST", fields, {}))
    assert request.settings == {"max_threads": "2"}
    assert request.parameters == {"max_threads": "x"}
    assert (request.database, request.in_session) == ("d", True)


def test_get_is_read_only() -> None:
    assert parse_request(Envelope("GET", [("readonly", "0")], {})).settings == {"readonly": "2"}


def test_types_of_an_external_table_are_split_at_outer_commas() -> None:
    request = parse_request(
        Envelope("POST", [("t_types", "Decimal(9, 2),String"), ("t_format", "CSV")], {}), (), ["t"]
    )
    assert request.external_tables == {"t": {"structure": "_1 Decimal(9, 2), _2 String", "format": "CSV"}}
    assert request.settings == {}
