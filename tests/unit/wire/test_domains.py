import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.wire.domains import FORMAT, Domain, decode_domains, encode_domains

texts = st.text(st.characters(exclude_categories=["Cs"]))
domain_lists = st.lists(
    st.builds(Domain, st.binary(min_size=16, max_size=16), texts, st.booleans(), st.none() | texts), max_size=4
)
versions = st.integers(0, 2**63 - 1)


def with_body(body: object) -> bytes:
    return struct.pack(">BQ", FORMAT, 1) + msgspec.msgpack.encode(body)


@given(domain_lists, versions)
def test_domains_read_back_are_the_domains_that_were_written(domains, version):
    assert decode_domains(encode_domains(domains, version)) == domains


@given(domain_lists, versions)
def test_format_and_version_stand_where_redis_can_compare_them(domains, version):
    assert struct.unpack_from(">BQ", encode_domains(domains, version)) == (FORMAT, version)


@given(domain_lists, st.integers(0, 255).filter(lambda number: number != FORMAT))
def test_another_format_is_treated_as_absent(domains, number):
    assert decode_domains(bytes((number,)) + encode_domains(domains)[1:]) is None


@given(domain_lists)
def test_domains_cut_short_anywhere_are_treated_as_absent(domains):
    data = encode_domains(domains)
    assert all(decode_domains(data[:end]) is None for end in range(len(data)))


@given(st.binary(max_size=100))
def test_random_bytes_are_domains_or_nothing_but_never_an_exception(data):
    assert isinstance(decode_domains(data), list | None)
    assert isinstance(decode_domains(struct.pack(">BQ", FORMAT, 1) + data), list | None)


@pytest.mark.parametrize("body", [None, {}, [1], [[b"x" * 16]], [["text", "host"]], [[b"x" * 16, "host", "yes"]]])
def test_another_shape_is_treated_as_absent(body):
    assert decode_domains(with_body(body)) is None


def test_nesting_without_end_is_treated_as_absent():
    assert decode_domains(with_body([])[:-1] + b"\x91" * 100_000 + b"\xc0") is None


def test_fields_of_another_version_of_the_program_are_ignored_or_have_their_defaults():
    assert decode_domains(with_body([[b"x" * 16, "qr.example", True, None, 7]])) == [
        Domain(b"x" * 16, "qr.example", True)
    ]
    assert decode_domains(with_body([[b"x" * 16, "qr.example"]])) == [Domain(b"x" * 16, "qr.example")]
