"""The reading of heads: its memories change no answer, and llhttp reads what it takes in the same way."""

from collections import Counter

import httptools
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from edge.http_head import BadHead, HeadReader, parse_headers
from scanhop.wire.scan_record import decode_headers
from tests.http_heads import END, ODD, head, phone, read

NAMES = [b"Host", b"X-Forwarded-For", b"Forwarded", b"User-Agent", b"Referer", b"Connection", b"Content-Length"]
NAMES += [b"Transfer-Encoding", b"Expect", b"Cookie", b"X-Thing", b"X-Forwarded-For", b"X-Forwarded-For"]
VALUES = [b"", b"a", b"qr.example", b"192.0.2.1", b"198.51.100.7, 192.0.2.2", b"close", b"keep-alive", b"0", b"5"]
VALUES += [b"chunked", b"100-continue", b"a\tb", b"caf\xe9", b"a:b", b'for="[::1]"', b"x" * 1100, b"y" * 2100]
BAD_LINES = [b"X", b" X: a", b"X : a", b"X: \x00", b"X: a\nb", b"\tX: a", b": a", b"X: a\rHost: b", b""]


def cased(name: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from([name, name.lower(), name.upper(), name.title().swapcase()])


good_lines = st.builds(
    lambda name, before, value, behind: name + b":" + before + value + behind,
    st.sampled_from(NAMES).flatmap(cased),
    st.sampled_from([b" ", b"", b"\t", b"  "]),
    st.sampled_from(VALUES),
    st.sampled_from([b"", b" ", b"\t"]),
)
lines = st.one_of(good_lines, good_lines, good_lines, st.sampled_from(BAD_LINES))
blocks = st.lists(lines, max_size=7).map(lambda some: b"".join(b"\r\n" + line for line in some) + END)


def answer(reader: HeadReader, raw: bytes) -> object:
    """All that is said of a block: the status it is turned away with, or its framing and what is kept of it."""
    try:
        block = reader.read_block(raw)
    except BadHead as error:
        return error.status
    return block.framing, decode_headers(block.scan_headers)


@given(st.lists(blocks, min_size=1, max_size=8), st.data())
def test_what_is_remembered_never_changes_an_answer(some, data):
    """Some blocks in any order, repeated, and each without its forwarding lines and with others."""
    some = [raw for raw in some if raw.find(END) == len(raw) - 4]
    assume(some)
    some += [turned for raw in some for turned in variations(raw)]
    fresh = {raw: answer(HeadReader(), raw) for raw in some}
    reader = HeadReader()
    for raw in data.draw(st.lists(st.sampled_from(some), min_size=1, max_size=60)):
        assert answer(reader, raw) == fresh[raw]
    for raw in some * 3:
        assert answer(reader, raw) == fresh[raw]


def variations(raw: bytes) -> list[bytes]:
    """The same block with an address more, less, and turned round."""
    some = [b"\r\n" + line for line in raw[2:-4].split(b"\r\n")] if len(raw) > 4 else []
    without = [line for line in some if not line.lower().startswith(b"\r\nx-forwarded-for:")]
    address = b"\r\nX-Forwarded-For: 203.0.113.9"
    turned = [without, [*without, address], [address, *without], [*some, address.lower()], some[::-1]]
    return [b"".join(each) + END for each in turned]


@given(st.permutations([b"X-Forwarded-For: 1", b"Host: a", b"User-Agent: u", b"Referer: r"]))
def test_the_order_of_lines_matters_to_nobody(order):
    reader = HeadReader()
    for _ in range(3):
        _, block = read(reader, head(*order))
        expected = {b"x-forwarded-for": b"1", b"user-agent": b"u", b"referer": b"r"}
        assert decode_headers(block.scan_headers) == expected
        assert block.framing.host == b"a"


# --- llhttp as a second opinion ---

tokens = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(str.encode)
values = st.binary(max_size=20).map(lambda raw: bytes(byte for byte in raw if byte in b"\t" or 32 <= byte != 127))
targets = st.one_of(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30).map(lambda text: b"/" + text.encode()),
    st.sampled_from([b"http://a.example/r/x?y", b"https://A.example:8/", b"/r/abc#top", b"*", b"/"]),
)
methods = st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"BREW", b"get"])
headers = st.lists(st.tuples(tokens, values), max_size=6)
heads = st.builds(
    lambda method, target, version, pairs: head(
        b"Host: qr.example",
        *(name + b": " + value for name, value in pairs),
        first=method + b" " + target + b" HTTP/1." + version,
    ),
    methods,
    targets,
    st.sampled_from([b"0", b"1"]),
    headers,
)


class SecondOpinion:
    """What llhttp makes of a head."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.target = b""
        self.is_read = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.is_read = True


def ask_llhttp(data: bytes) -> tuple[SecondOpinion, httptools.HttpRequestParser] | None:
    """None: it takes no such head."""
    opinion = SecondOpinion()
    parser = httptools.HttpRequestParser(opinion)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return None
    return (opinion, parser) if opinion.is_read else None


def check(data: bytes) -> bool:
    """Whether both took it; then they must have read the same."""
    try:
        line, _ = read(HeadReader(), data)
    except BadHead:
        return False
    asked = ask_llhttp(data)
    if asked is None:
        return False
    opinion, parser = asked
    text, _, raw = data.partition(b"\r\n")
    assert parser.get_method() == line.method
    assert parser.get_http_version() == ("1.0" if line.is_http_10 else "1.1")
    assert opinion.target == text.split(b" ")[1]
    assert Counter(opinion.headers) == Counter(parse_headers(raw))
    return True


@given(heads)
@settings(max_examples=500)
@example(phone())
def test_whatever_is_taken_llhttp_reads_in_the_same_way(data):
    check(data)


def test_llhttp_takes_nearly_all_odd_heads_too():
    """What only we take is listed, so that nothing joins it unseen."""
    only_ours = {name for name, (data, _) in ODD.items() if not check(data.lstrip(b"\r\n"))}
    assert only_ours == {
        "a method nobody knows",
        "a method in lower case",
        "the same length twice",
    }


@given(st.binary(max_size=80), st.integers(0, 400))
@settings(max_examples=500)
def test_no_bytes_whatever_raise_anything_but_a_refusal(noise, at):
    data = phone()
    spoilt = data[:at] + noise + data[at:]
    end = spoilt.find(END)
    assume(end >= 0)
    check(spoilt[: end + 4])
