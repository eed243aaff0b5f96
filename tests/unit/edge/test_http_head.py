import pytest

from edge.http_head import (
    MAX_BLOCKS,
    MAX_HEAD,
    MAX_LINES,
    BadHead,
    HeadReader,
    check_unfinished,
    parse_headers,
    parse_request_line,
)
from scanhop.wire.scan_record import decode_headers
from tests.http_heads import END, HOST, MALFORMED, ODD, get, head, phone, post, read

# A good head; the connection judges the body.
BY_THE_CONNECTION = {"a form that is too long", "a form that is far too long"}


@pytest.fixture
def reader() -> HeadReader:
    return HeadReader()


def status_of(reader: HeadReader, data: bytes) -> int | None:
    """What the head is turned away with; None: it is taken."""
    data = data.lstrip(b"\r\n")
    end = data.find(END)
    try:
        if end < 0:
            check_unfinished(data)
        elif end + 4 > MAX_HEAD:
            return 431  # the connection judges that
        else:
            read(reader, data[: end + 4])
    except BadHead as error:
        return error.status
    return None


@pytest.mark.parametrize("name", [name for name in MALFORMED if name not in BY_THE_CONNECTION])
def test_a_malformed_head_is_turned_away_each_time(reader, name):
    data, status = MALFORMED[name]
    for _ in range(3):
        assert status_of(reader, data) == status
        read(reader, phone())


@pytest.mark.parametrize("name", ODD)
def test_an_odd_head_is_taken_each_time(reader, name):
    data, reason = ODD[name]
    assert reason
    for _ in range(4):
        assert status_of(reader, data) is None


@pytest.mark.parametrize("byte", [*range(9), *range(10, 32), 127])
def test_no_control_character_may_stand_in_a_head(reader, byte):
    character = bytes((byte,))
    for data in (
        get(b"X-Thing: a" + character + b"b"),
        get(b"X-" + character + b"Thing: a"),
        head(HOST, first=b"GET /r/" + character + b" HTTP/1.1"),
        head(b"Host: qr" + character + b"example"),
    ):
        assert status_of(reader, data) == 400


def test_every_other_byte_may_stand_in_a_value(reader):
    value = bytes([9, *range(32, 127), *range(128, 256)])
    _, block = read(reader, get(b"User-Agent: " + value))
    assert decode_headers(block.scan_headers) == {b"user-agent": value.strip(b" \t")}


# --- the request line ---


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"/", b"/", b"", None),
        (b"/r/abc?", b"/r/abc", b"", None),
        (b"/r/abc?a=b?c=d", b"/r/abc", b"a=b?c=d", None),
        (b"/r/abc?a#b?c", b"/r/abc", b"a", None),
        (b"/r/abc#b?c", b"/r/abc", b"", None),
        (b"/r/a%2Fb%23?%3f", b"/r/a%2Fb%23", b"%3f", None),
        (b"//a.example/r/x", b"//a.example/r/x", b"", None),
        (b"/http://a.example/", b"/http://a.example/", b"", None),
        (b"http://A.Example:8080/r/X?q#f", b"/r/X", b"q", b"a.example"),
        (b"https://a.example.", b"/", b"", b"a.example"),
        (b"HTTP://[2001:DB8::1]:80?q", b"/", b"q", b"[2001:db8::1]"),
    ],
)
def test_a_target_is_taken_apart(target, path, query, host):
    line = parse_request_line(b"GET " + target + b" HTTP/1.1")
    assert (line.method, line.path, line.query, line.host) == (b"GET", path, query, host)


def test_a_method_is_taken_as_it_is():
    assert parse_request_line(b"get / HTTP/1.1").method == b"get"


@pytest.mark.parametrize(("version", "is_http_10"), [(b"1.0", True), (b"1.1", False)])
def test_the_version_is_told(version, is_http_10):
    assert parse_request_line(b"GET / HTTP/" + version).is_http_10 is is_http_10


# --- what the header lines say of the request ---


@pytest.mark.parametrize(
    ("sent", "host"),
    [
        (b"qr.example", b"qr.example"),
        (b"QR.Example:8080", b"qr.example"),
        (b"qr.example.", b"qr.example"),
        (b"qr.example.:80", b"qr.example"),
        (b"", b""),
        (b":80", b""),
        (b"[2001:DB8::1]:80", b"[2001:db8::1]"),
        (b"192.0.2.1", b"192.0.2.1"),
    ],
)
def test_the_host_is_a_name_in_lower_case(reader, sent, host):
    for _ in range(3):
        assert read(reader, head(b"Host: " + sent))[1].framing.host == host


def test_without_a_host_there_is_none(reader):
    _, block = read(reader, head(first=b"GET / HTTP/1.0"))
    assert block.framing.host is None
    assert not block.framing.is_usual


@pytest.mark.parametrize(
    ("line", "closes"),
    [
        (b"Connection: close", True),
        (b"connection: CLOSE", True),
        (b"Connection: keep-alive, close", True),
        (b"Connection: close,", True),
        (b"Connection:\tclose\t", True),
        (b"Connection: keep-alive", False),
        (b"Connection: closed", False),
        (b"Connection: x-close", False),
        (b"Connection:", False),
        (b"Proxy-Connection: close", False),
    ],
)
def test_whether_the_client_closes_is_read_from_the_list(reader, line, closes):
    for _ in range(3):
        assert read(reader, get(line))[1].framing.closes is closes


@pytest.mark.parametrize(("line", "length"), [(b"Content-Length: 5", 5), (b"content-length:0007", 7), (b"X: 1", 0)])
def test_the_length_of_a_body_is_told(reader, line, length):
    for _ in range(3):
        framing = read(reader, post(line))[1].framing
        assert framing.body_length == length
        assert framing.is_usual is (length == 0)


@pytest.mark.parametrize(
    ("line", "expects"), [(b"Expect: 100-continue", True), (b"Expect: 100-other", False), (b"X: 100-continue", False)]
)
def test_what_is_expected_is_told(reader, line, expects):
    for _ in range(3):
        assert read(reader, post(line))[1].framing.expects_continue is expects


# --- what is kept for the record ---


def test_of_the_headers_only_the_listed_ones_are_kept(reader):
    data = phone(
        b"/", b"Referer: r", b"Cookie: secret", b"Authorization: secret", b"X-Thing: a", b"X-Forwarded-For: 1"
    )
    for _ in range(3):
        _, block = read(reader, data)
        kept = decode_headers(block.scan_headers)
        assert kept.keys() == {b"user-agent", b"accept-language", b"referer", b"x-forwarded-for"}
        assert kept[b"referer"] == b"r"
        assert b"secret" not in block.scan_headers


def test_a_header_that_stands_there_twice_is_joined_in_order(reader):
    data = get(b"X-Forwarded-For: 1", b"Referer: a", b"x-forwarded-for: 2", b"REFERER: b")
    for _ in range(3):
        _, block = read(reader, data)
        assert decode_headers(block.scan_headers) == {b"x-forwarded-for": b"1, 2", b"referer": b"a, b"}


def test_a_name_with_underscores_is_no_forwarding_header(reader):
    _, block = read(reader, get(b"X_Forwarded_For: 192.0.2.1"))
    assert block.scan_headers == b""


def test_the_application_is_given_the_headers_in_lower_case_without_white_space():
    raw = b"Host:qr.example\r\nX-Thing: \t a:b \r\nX-Empty:\r\n\r\n"
    assert parse_headers(raw) == [(b"host", b"qr.example"), (b"x-thing", b"a:b"), (b"x-empty", b"")]
    assert parse_headers(b"\r\n") == []


# --- what is remembered ---


def test_what_was_said_in_other_lines_does_not_stick(reader):
    for forwarded in (b"192.0.2.1", b"192.0.2.2", b"192.0.2.3"):
        for referer in (b"a", b"b"):
            data = phone(b"/", b"X-Forwarded-For: " + forwarded, b"Referer: " + referer)
            kept = decode_headers(read(reader, data)[1].scan_headers)
            assert (kept[b"x-forwarded-for"], kept[b"referer"]) == (forwarded, referer)


@pytest.mark.parametrize(
    "value",
    [b"1\x00", b"1\nHost: b", b"1\rHost: b", b"\x7f", b"1" * MAX_HEAD],
    ids=["NUL", "LF", "CR", "DEL", "long"],
)
@pytest.mark.parametrize("name", [b"X-Forwarded-For", b"x-forwarded-for"])
def test_a_bad_address_is_turned_away_though_the_other_lines_are_remembered(reader, name, value):
    for _ in range(3):
        assert status_of(reader, phone(b"/", name + b": 192.0.2.1")) is None
    assert status_of(reader, phone(b"/", name + b": " + value)) in (400, 431)


def test_a_second_host_is_seen_though_all_lines_are_remembered(reader):
    for _ in range(3):
        assert status_of(reader, get(b"X-Thing: a")) is None
        assert status_of(reader, head(b"Host: b.example")) is None
    assert status_of(reader, get(b"Host: b.example")) == 400


def test_headers_are_counted_though_all_lines_are_remembered(reader):
    for _ in range(3):
        assert status_of(reader, get(b"a: b")) is None
    assert status_of(reader, get(*[b"a: b"] * 100)) == 431
    for _ in range(3):
        assert status_of(reader, get(*[b"a: b"] * 99)) is None
        assert status_of(reader, get(*[b"a: b"] * 98, b"X-Forwarded-For: 1")) is None
        assert status_of(reader, get(*[b"a: b"] * 99, b"X-Forwarded-For: 1")) == 431


def test_the_memories_are_bounded(reader):
    for number in range(2 * MAX_LINES):
        data = get(b"X-Thing: %d" % number)
        read(reader, data)
        read(reader, data)
    assert len(reader.blocks.list_keys()) <= MAX_BLOCKS
    assert len(reader._lines) <= MAX_LINES


def test_long_lines_and_addresses_are_not_remembered(reader):
    before = len(reader._lines)
    for _ in range(3):
        read(reader, get(b"X-Forwarded-For: 192.0.2.1", b"Forwarded: for=192.0.2.1", b"X: " + b"a" * 2000))
    assert len(reader._lines) == before + 1
    assert not any(b"192.0.2.1" in raw for raw in reader.blocks.list_keys())


# --- a head whose end has not come ---


@pytest.mark.parametrize("at", range(1, len(phone())))
def test_the_beginning_of_a_good_head_is_never_turned_away(at):
    check_unfinished(phone()[:at])


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n", 400),
        (b"a" * 8300, 414),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 6000, 431),
    ],
)
def test_a_head_that_cannot_become_good_is_turned_away_before_its_end(data, status):
    with pytest.raises(BadHead) as caught:
        check_unfinished(data)
    assert caught.value.status == status
