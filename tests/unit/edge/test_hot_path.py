"""The hot path in C and in Python: the same answers, records and calls, whatever comes."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import _hot_path as compiled
from edge import hot_path
from edge import plain_hot_path as plain
from edge.answers import Answer
from edge.local_cache import ready_route
from edge.ready_scan import Framing, HeaderBlock
from scanhop.wire.scan_record import Outcome, encode_header, encode_headers

BOTH = [compiled, plain]
LINES = [b"GET /r/menu HTTP/1.1", b"GET /r/stale HTTP/1.1", b""]
MENU = ready_route(Answer(302, Outcome.REDIRECT, b"head", b"value", b"body"), b"route", b"prefix", 100.0)
STALE = ready_route(Answer(302, Outcome.REDIRECT, b"head", b"value"), b"route", b"prefix", 10.0)
GONE = ready_route(Answer(410, Outcome.DELETED, b"gone", b"", b"page"), b"route", b"of gone", 100.0)


def framing(host: bytes | None = b"qr.example", *, closes: bool = False, is_usual: bool = True) -> Framing:
    return Framing(host, 0, closes, False, is_usual)


BLOCKS = {
    b"Host: qr.example\r\n\r\n": HeaderBlock(framing(), b"said"),
    b"Host: own.example\r\n\r\n": HeaderBlock(framing(b"own.example"), b"said"),
    b"Connection: close\r\n\r\n": HeaderBlock(framing(closes=True), b""),
    b"Content-Length: 7\r\n\r\n": HeaderBlock(framing(is_usual=False), b""),
}
FORWARDED = b"Host: qr.example\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"


@pytest.mark.parametrize("limit", [1, 3, 8, 100])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_memory_knows_the_same_after_any_steps(limit, data):
    memories = [module.Memory(limit) for module in BOTH]
    keys = st.sampled_from([bytes([number]) * size for number in range(5) for size in (0, 1, 8, 9, 16, 17, 40)])
    for key, value in data.draw(st.lists(st.tuples(keys, st.integers(0, 3) | st.none()), max_size=60)):
        if value is not None:
            for memory in memories:
                memory.store(key, value)
        assert memories[0].find(key) == memories[1].find(key)
    assert memories[0].list_keys() == memories[1].list_keys()


def test_a_memory_that_was_full_for_long_still_finds_what_it_holds():
    memory = compiled.Memory(500)
    for number in range(20_000):
        memory.store(b"line %d" % number, number)
    assert [memory.find(b"line %d" % number) for number in range(19_500, 20_000)] == list(range(19_500, 20_000))
    assert memory.find(b"line 19499") is None
    assert len(memory.list_keys()) == 500


@pytest.mark.timeout(60)
@pytest.mark.parametrize("known", [0xA0761D6478BD642F, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3, 0x589965CC75374CC3])
def test_keys_cannot_be_made_to_collide_by_whoever_knows_the_hash(known):
    """They collide where it begins with a constant of the published wyhash: this would take minutes."""
    memory = compiled.Memory(250_000)
    for number in range(250_000):
        memory.store(known.to_bytes(8, "little") + number.to_bytes(8, "little"), number)


@pytest.mark.parametrize("arguments", [("text", 1), (bytearray(b"a"), 1), (b"a",)])
def test_a_memory_takes_bytes_alone(arguments):
    memory = compiled.Memory(4)
    with pytest.raises(TypeError):
        memory.store(*arguments)
    with pytest.raises(TypeError):
        memory.find("text")
    with pytest.raises(ValueError, match="limit"):
        compiled.Memory(0)


def new_connection(module: ModuleType, *, is_draining: bool, is_free: bool) -> tuple[Any, list[Any]]:
    """A connection of a worker at second 50, and what it was called for."""
    calls: list[Any] = []

    class Connection(module.HotConnection):
        def _receive(self, data: bytes) -> None:
            calls.append(("receive", data))

        def _take_last(self, found: Any, headers: bytes) -> None:
            calls.append(("last", found, headers))

    def look_soon() -> None:
        calls.append("look")
        hot.is_looking = True

    lines, blocks = module.Memory(4), module.Memory(8)
    for line, found in zip(LINES, (MENU, STALE, GONE), strict=True):
        lines.store(line, found)
    for raw, block in BLOCKS.items():
        blocks.store(raw, block)
    hot = module.HotPath(lines, blocks, {b"own.example": object}, look_soon)
    hot.now, hot.idle_deadline, hot.tail, hot.is_draining = 50.0, 125.0, b"tail", is_draining
    connection = Connection(hot)
    connection._transport, connection._ready_peer, connection._is_free = "transport", b"peer", is_free
    return connection, calls


REQUESTS = st.tuples(
    st.sampled_from([*LINES, b"GET /r/other HTTP/1.1", b"GET /r/menu HTTP/1.0"]),
    st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r", b""]),
    st.sampled_from([*BLOCKS, FORWARDED, b"Host: else.example\r\n\r\n", b"Host: qr.example\r\n", b""]),
).map(b"".join)


@given(
    received=st.lists(REQUESTS | st.lists(REQUESTS, min_size=2, max_size=2).map(b"".join) | st.binary(max_size=20)),
    is_draining=st.booleans(),
    is_free=st.sampled_from([True, True, True, False]),
)
@settings(max_examples=300, deadline=None)
def test_a_connection_does_the_same_with_whatever_it_receives(received, is_draining, is_free):
    outcomes = []
    for module in BOTH:
        connection, calls = new_connection(module, is_draining=is_draining, is_free=is_free)
        for data in received:
            connection.data_received(data)
        outcomes.append((calls, connection._hot.take_items(), connection._hot.take_items(), connection._deadline))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("module", BOTH)
def test_a_usual_scan_waits_to_be_answered_and_nobody_is_called(module):
    connection, calls = new_connection(module, is_draining=False, is_free=True)
    for _ in range(2):
        connection.data_received(LINES[0] + b"\r\n" + b"Host: qr.example\r\n\r\n")
    assert connection._hot.take_items() == [("transport", MENU, b"peer", b"said", b"tail")] * 2
    assert calls == ["look"]
    assert connection._deadline == 125.0


@pytest.mark.parametrize("module", BOTH)
def test_what_a_call_raises_comes_out(module):
    class Fails(module.HotConnection):
        def _receive(self, data: bytes) -> None:
            raise ZeroDivisionError

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    lines = module.Memory(1)
    lines.store(b"a", MENU)
    blocks = module.Memory(1)
    blocks.store(b"b", HeaderBlock(framing(), b""))
    hot = module.HotPath(lines, blocks, {}, fail)
    for data in (b"a\r\nb", b"a\r\nc", b"b"):
        with pytest.raises(ZeroDivisionError):
            Fails(hot).data_received(data)


@pytest.mark.parametrize("module", BOTH)
def test_what_was_deleted_is_missed_as_in_python(module):
    connection, _ = new_connection(module, is_draining=False, is_free=True)
    data = LINES[0] + b"\r\n" + b"Host: qr.example\r\n\r\n"
    for owner, name in ((connection, "_ready_peer"), (connection, "_transport"), (connection._hot, "tail")):
        kept = getattr(owner, name)
        delattr(owner, name)
        with pytest.raises(AttributeError):
            connection.data_received(data)
        setattr(owner, name, kept)
    connection.data_received(data)
    assert len(connection._hot.take_items()) == 1


FORWARDING = st.builds(
    lambda name, value, end: name + value + end,
    st.sampled_from([b"X-Forwarded-For:", b"x-forwarded-for:", b"X-forwarded-for:", b"X-Forwarded-For :"]),
    st.binary(max_size=6)
    | st.sampled_from([b" 192.0.2.1\t ", b"", b" ", b"a" * 1024, b"a" * 1025, b"\x7f", b"\xff"]),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r", b""]),
)


@given(lines=st.lists(st.sampled_from([b"Host: a\r\n", b"\r\n", b"a" * 4080 + b"\r\n"]) | FORWARDING, max_size=4))
@settings(max_examples=500, deadline=None)
def test_a_block_that_is_new_in_what_was_forwarded_alone_is_found_by_the_rest(lines):
    raw, found = b"".join(lines), []
    for module in BOTH:
        blocks = module.Memory(9)
        for known in (b"Host: a\r\n\r\n", b"\r\n", b"Host: a\r\nHost: a\r\n\r\n", b"a" * 4080 + b"\r\n\r\n"):
            blocks.store(known, HeaderBlock(framing(), known[:4]))
        found.append(module.find_forwarded(blocks, raw))
    assert found[0] == found[1]
    assert found[0] is None or isinstance(found[0], HeaderBlock)


@pytest.mark.parametrize("module", BOTH)
def test_what_was_forwarded_stands_behind_the_headers_of_the_rest(module):
    blocks = module.Memory(1)
    blocks.store(b"Host: a\r\n\r\n", HeaderBlock(framing(), encode_header(b"user-agent", b"phone")))
    expected = encode_headers([(b"user-agent", b"phone"), (b"x-forwarded-for", b"192.0.2.1")])
    for raw in (b"Host: a\r\nX-Forwarded-For: 192.0.2.1 \r\n\r\n", b"x-forwarded-for:192.0.2.1\r\nHost: a\r\n\r\n"):
        assert module.find_forwarded(blocks, raw) == HeaderBlock(framing(), expected)


class Phone:
    def __init__(self, error: Exception | None) -> None:
        self._error = error
        self.received: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.received.append(data)
        if self._error is not None:
            raise self._error


@given(
    wanted=st.lists(
        st.tuples(st.sampled_from([MENU, GONE, None]), st.sampled_from([b"tail", b"last"]), st.booleans()),
        max_size=12,
    )
)
@settings(max_examples=200, deadline=None)
def test_records_and_answers_are_the_same(wanted):
    outcomes = []
    for module in BOTH:
        phones = [Phone(RuntimeError() if is_closed else None) for _, _, is_closed in wanted]
        items = [
            (phone, found, b"peer%d" % number, b"headers", tail)
            for number, (phone, (found, tail, _)) in enumerate(zip(phones, wanted, strict=True))
        ]
        scans = [0] * (max(Outcome) + 1)
        payloads = module.pack_records(items, scans, lambda outcome: b"at%d" % outcome)
        module.write_answers(items)
        outcomes.append((payloads, scans, [phone.received for phone in phones]))
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0][0]) == sum(found is not None for found, _, _ in wanted)


@pytest.mark.parametrize("module", BOTH)
def test_a_fault_of_ours_while_writing_is_not_hidden(module):
    with pytest.raises(ZeroDivisionError):
        module.write_answers([(Phone(ZeroDivisionError()), None, b"data", b"", b"")])


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize("item", [None, (), (Phone(None), MENU)])
def test_what_is_no_item_is_an_error_and_no_crash(module, item):
    with pytest.raises((TypeError, ValueError)):
        module.pack_records([item], [0] * 20, lambda _: b"")
    with pytest.raises((TypeError, ValueError)):
        module.write_answers([item])


@pytest.mark.parametrize("outcome", [20, "no number"])
@pytest.mark.parametrize("module", BOTH)
def test_an_outcome_that_cannot_be_counted_is_an_error(module, outcome):
    found = SimpleNamespace(outcome=outcome, prefix=b"")
    with pytest.raises((TypeError, IndexError)):
        module.pack_records([(Phone(None), found, b"", b"", b"")], [0] * 20, lambda _: b"")
    with pytest.raises(TypeError):
        module.pack_records([(Phone(None), MENU, b"", b"", b"")], ["no number"] * 20, lambda _: b"")


def new_items(phone: object, name: bytes) -> list[Any]:
    """Whatever is in them, nobody else holds."""
    return [
        (phone, ready_route(Answer(302, Outcome.REDIRECT, name, b"%d" % each), b"", name, 1.0), name, name, name)
        for each in range(50)
    ]


def test_items_may_go_while_they_are_worked_at():
    """The first stays whole for as long as it is needed; those behind it are no more."""
    others = []

    def forget(_: object) -> bytes:
        items.clear()
        others.extend(new_items(None, b"other"))  # where the first lay
        return b"at"

    items = new_items(None, b"name")
    assert compiled.pack_records(items, [0] * 20, forget) == [b"nameatnamename"]
    received = []

    class Forgetting:
        def write(self, data: bytes) -> None:
            forget(data)
            received.append(data)

    items = new_items(Forgetting(), b"name")
    compiled.write_answers(items)
    assert received == [b"name0name"]


def test_a_block_is_the_same_however_it_was_found():
    blocks = compiled.Memory(1)
    blocks.store(b"Host: a\r\n\r\n", HeaderBlock(framing(), b""))
    found = compiled.find_forwarded(blocks, b"Host: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
    assert hash(found) == hash(HeaderBlock(*found))


def test_nothing_is_kept_of_scans_that_were_answered():
    tail, raw = b"the tail of this test", b"Host: of this test\r\n\r\n"
    connection, _ = new_connection(compiled, is_draining=False, is_free=True)
    hot, phone = connection._hot, Phone(None)
    connection._transport, hot.tail = phone, tail
    block = HeaderBlock(framing(), b"the headers of this test")
    hot.blocks.store(raw, block)
    watched = [tail, raw, block, block.scan_headers, MENU, phone, connection, hot]
    before = [sys.getrefcount(each) for each in watched]
    for _ in range(50):
        for data in (raw, FORWARDED, b"other"):
            connection.data_received(LINES[0] + b"\r\n" + data)
        items = hot.take_items()
        compiled.pack_records(items, [0] * 20, lambda _: b"")
        compiled.write_answers(items)
    del items
    assert [sys.getrefcount(each) for each in watched] == before


def test_the_compiled_version_is_what_runs():
    assert hot_path.IS_COMPILED
    assert hot_path.HotConnection is compiled.HotConnection


def test_a_compiled_version_of_another_source_does_not_run(monkeypatch):
    monkeypatch.setattr(compiled, "SOURCE_CRC", compiled.SOURCE_CRC ^ 1)
    with pytest.warns(RuntimeWarning, match="make install"):
        assert not hot_path.has_compiled()
    monkeypatch.delattr(compiled, "SOURCE_CRC")
    with pytest.warns(RuntimeWarning, match="make install"):
        assert not hot_path.has_compiled()


def test_where_nothing_was_built_the_python_version_runs(monkeypatch):
    monkeypatch.setitem(sys.modules, "edge._hot_path", None)
    assert not hot_path.has_compiled()


def test_where_the_source_is_not_installed_what_was_built_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(hot_path, "SOURCE", tmp_path / "_hot_path.c")
    assert hot_path.has_compiled()
