"""Snapshots on a real disk: what is written is what is read, whatever happened to the file in between."""

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from edge import snapshot
from edge.domains import Domains
from edge.local_cache import CachedRoute, LocalCache
from edge.snapshot import RouteSnapshot, SnapshotDamaged, read_blocks, restore
from scanhop.wire.domains import Domain
from scanhop.wire.route import Route, encode_route
from tests.routes import cached, new_id, new_route

CUSTOM = Domain(new_id().bytes, "qr.example.com", is_exact=True)


def build_entry(key: bytes, raw: bytes, route: Route | None, stale_at: float) -> CachedRoute:
    return cached(raw, b"", stale_at, route)


def key_of(route: Route) -> bytes:
    return route.domain_id + route.code.encode()


class Memory:
    """What a worker remembers, and its snapshot."""

    def __init__(self, folder: Path, worker: int = 0, workers: int = 4) -> None:
        self.cache = LocalCache()
        self.domains = Domains()
        self.snapshot = RouteSnapshot(folder, worker, workers, self.cache, self.domains)

    def remember(self, *routes: Route) -> None:
        for route in routes:
            self.cache.store(key_of(route), build_entry(key_of(route), encode_route(route), route, float("inf")))

    def routes(self) -> list[Route]:
        return [entry.route for entry in self.cache.known.values() if entry.route is not None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "routes"


@pytest.fixture
def logged() -> Iterator[list[dict[str, object]]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def warnings(logged: list[dict[str, object]]) -> list[object]:
    return [line["event"] for line in logged if line["log_level"] == "warning"]


def read(folder: Path) -> Memory:
    memory = Memory(folder)
    restore(folder, memory.cache, memory.domains, build_entry)
    return memory


def codes(count: int, **fields: object) -> list[Route]:
    return [new_route(code=f"code{number:04d}", **fields) for number in range(count)]


async def save(folder: Path, *routes: Route, worker: int = 0) -> Path:
    memory = Memory(folder, worker)
    memory.remember(*routes)
    await memory.snapshot.save()
    return folder / f"{worker}.snapshot"


# --- there and back ---


async def test_what_was_remembered_is_there_again_in_its_order_and_stale(folder, logged):
    routes = codes(2500)
    await save(folder, *routes)
    memory = read(folder)
    assert memory.routes() == routes
    assert {entry.stale_at for entry in memory.cache.known.values()} == {0.0}
    assert warnings(logged) == []


async def test_the_domains_are_there_again(folder):
    memory = Memory(folder)
    memory.domains.replace([CUSTOM])
    await memory.snapshot.save()
    assert read(folder).domains.find(b"qr.example.com") == CUSTOM


async def test_nothing_remembered_is_a_snapshot_too(folder, logged):
    await save(folder)
    assert read(folder).routes() == []
    assert warnings(logged) == []


def test_without_a_folder_there_is_nothing_and_no_word_of_it(folder, logged):
    assert read(folder).routes() == []
    assert logged == []


async def test_of_the_same_code_in_several_snapshots_the_newest_version_counts(folder):
    old, new = new_route(version=3), new_route(version=4, target_url="https://example.com/new")
    await save(folder, new, worker=0)
    await save(folder, old, worker=1)
    for first, second in ((0, 1), (1, 0)):
        os.utime(folder / f"{first}.snapshot", (2e9, 2e9))
        os.utime(folder / f"{second}.snapshot", (1e9, 1e9))
        assert [route.target_url for route in read(folder).routes()] == ["https://example.com/new"]


async def test_codes_that_only_one_worker_knew_are_there_for_all(folder):
    first, second = codes(2)
    await save(folder, first, worker=0)
    await save(folder, second, worker=3)
    assert {route.code for route in read(folder).routes()} == {first.code, second.code}


async def test_the_codes_that_were_looked_up_last_are_kept_at_the_bound(folder, monkeypatch):
    routes = codes(50)
    monkeypatch.setattr(snapshot, "BLOCK_ROUTES", 10)
    monkeypatch.setattr(snapshot, "MAX_BYTES", 20 * (len(encode_route(routes[0])) + 40))
    await save(folder, *routes)
    kept = read(folder).routes()
    assert 10 <= len(kept) <= 20
    assert kept == routes[-len(kept) :]


async def test_no_more_codes_are_read_than_a_worker_remembers(folder, monkeypatch):
    routes = codes(30)
    await save(folder, *routes)
    monkeypatch.setattr(snapshot, "MAX_ROUTES", 7)
    assert read(folder).routes() == routes[-7:]


async def test_reading_ends_when_it_takes_too_long(folder, monkeypatch, logged):
    await save(folder, *codes(30))
    monkeypatch.setattr(snapshot, "LOAD_S", -1.0)
    read(folder)
    assert warnings(logged) == ["snapshot_not_read_on"]


# --- when it is written ---


async def test_it_is_written_again_only_when_something_is_different(folder):
    first, second = codes(2)
    memory = Memory(folder)
    memory.remember(first)
    await memory.snapshot.save()
    (folder / "0.snapshot").unlink()
    memory.remember(first)
    await memory.snapshot.save()
    assert not (folder / "0.snapshot").exists()
    memory.remember(second)
    await memory.snapshot.save()
    assert len(read(folder).routes()) == 2


async def test_other_domains_are_a_difference(folder):
    memory = Memory(folder)
    await memory.snapshot.save()
    memory.domains.replace([CUSTOM])
    await memory.snapshot.save()
    assert read(folder).domains.find(b"qr.example.com") == CUSTOM


async def test_it_is_written_by_the_clock_and_when_it_is_stopped(folder, monkeypatch):
    monkeypatch.setattr(snapshot, "SAVE_S", 0.01)
    first, second = codes(2)
    memory = Memory(folder)
    keeping = asyncio.create_task(memory.snapshot.keep())
    memory.remember(first)
    while not (folder / "0.snapshot").exists():  # noqa: ASYNC110 - written by a thread
        await asyncio.sleep(0.01)
    monkeypatch.setattr(snapshot, "SAVE_S", 3600.0)
    memory.remember(second)
    memory.snapshot.stop()
    await keeping
    assert len(read(folder).routes()) == 2


async def test_codes_may_come_and_go_while_it_is_written(folder, monkeypatch):
    monkeypatch.setattr(snapshot, "BLOCK_ROUTES", 10)
    routes = codes(500)
    memory = Memory(folder)
    memory.remember(*routes)
    saving = asyncio.create_task(memory.snapshot.save())
    for route in routes:
        memory.cache.store(key_of(route), cached(b"", b"", 0.0))
        await asyncio.sleep(0)
    await saving
    assert set(read(folder).routes()) <= set(routes)


async def test_it_is_for_its_owner_alone(folder):
    path = await save(folder, new_route())
    assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


async def test_nothing_else_is_left_in_the_folder(folder):
    await save(folder, *codes(10))
    assert [path.name for path in folder.iterdir()] == ["0.snapshot"]


async def test_what_nobody_writes_any_more_is_taken_away(folder):
    for worker in range(6):
        await save(folder, new_route(), worker=worker)
    left, recent = folder / "2-123.unfinished", folder / "1-456.unfinished"
    left.touch()
    recent.touch()
    os.utime(left, (1e9, 1e9))
    await save(folder, new_route(), worker=0)
    names = {path.name for path in folder.iterdir()}
    assert names == {"0.snapshot", "1.snapshot", "2.snapshot", "3.snapshot", "1-456.unfinished"}


# --- a disk in trouble ---


async def test_a_folder_that_cannot_be_written_is_told_once(tmp_path, logged):
    (tmp_path / "file").touch()
    memory = Memory(tmp_path / "file" / "routes")
    for route in codes(3):
        memory.remember(route)
        await memory.snapshot.save()
    assert warnings(logged) == ["snapshot_not_saved"]


async def test_a_full_disk_leaves_the_last_snapshot_and_is_told_once(folder, monkeypatch, logged):
    first, second = codes(2)
    memory = Memory(folder)
    memory.remember(first)
    await memory.snapshot.save()
    memory.remember(second)
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", _no_space)
        await memory.snapshot.save()
        await memory.snapshot.save()
    assert [path.name for path in folder.iterdir()] == ["0.snapshot"]
    assert read(folder).routes() == [first]
    await memory.snapshot.save()
    assert len(read(folder).routes()) == 2
    assert warnings(logged) == ["snapshot_not_saved"]


def _no_space(_: int) -> None:
    raise OSError(28, "No space left on device")


async def test_every_cut_leaves_whole_blocks_and_is_told(folder, monkeypatch, logged):
    monkeypatch.setattr(snapshot, "BLOCK_ROUTES", 4)
    routes = codes(20)
    path = await save(folder, *routes)
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(SnapshotDamaged):
            list(read_blocks(path))
        logged.clear()
        kept = read(folder).routes()
        assert kept == routes[len(routes) - len(kept) :]
        assert warnings(logged) == ["snapshot_damaged"]


async def test_a_bit_that_fell_over_anywhere_lets_nothing_wrong_in(folder, monkeypatch, logged):
    monkeypatch.setattr(snapshot, "BLOCK_ROUTES", 4)
    routes = codes(20)
    path = await save(folder, *routes)
    data = path.read_bytes()
    chosen = random.Random(3)
    for place in {*range(60), *chosen.sample(range(len(data)), 300)}:
        broken = bytearray(data)
        broken[place] ^= 1 << chosen.randrange(8)
        path.write_bytes(broken)
        logged.clear()
        assert set(read(folder).routes()) <= set(routes)
        assert warnings(logged) == ["snapshot_damaged"], place


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 5000, b"scanhop routes\n\x02" + b"\0" * 100, b"scanhop routes\n\x01" + b"\xff" * 100],
    ids=["empty", "zeros", "another format", "no block"],
)
async def test_a_file_that_is_none_is_told_and_the_others_are_read(folder, content, logged):
    await save(folder, new_route())
    (folder / "1.snapshot").write_bytes(content)
    assert len(read(folder).routes()) == 1
    assert warnings(logged) == ["snapshot_damaged"]


async def test_something_behind_the_end_is_damage(folder, logged):
    path = await save(folder, new_route())
    path.write_bytes(path.read_bytes() + b"\0")
    read(folder)
    assert warnings(logged) == ["snapshot_damaged"]


async def test_a_folder_in_place_of_a_file_is_told(folder, logged):
    (folder / "1.snapshot").mkdir(parents=True)
    assert read(folder).routes() == []
    assert warnings(logged) == ["snapshot_damaged"]


async def test_a_route_of_a_later_format_is_left_out(folder, logged):
    memory = Memory(folder)
    memory.remember(new_route())
    later = b"\x09" + encode_route(new_route())[1:]
    memory.cache.store(b"k" * 20, cached(later, b"", 0.0, new_route()))
    await memory.snapshot.save()
    assert len(read(folder).routes()) == 1
    assert warnings(logged) == []
