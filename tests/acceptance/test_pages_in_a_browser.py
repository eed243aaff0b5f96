"""The pages in Chromium, driven through its DevTools protocol. Skipped where there is no Chromium."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edge.pages import Brand, Pages
from edge.pages.texts import PROBLEMS
from scanhop.wire.scan_record import Outcome

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on PATH; pages are shown in a real browser")

FLAGS = [
    "--headless",
    "--no-sandbox",  # it does not run as root otherwise, and sees nothing but our pages
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--remote-debugging-pipe",
]
# Chromium talks over the descriptors 3 and 4.
ON_3_AND_4 = "import os, sys; [os.dup2(int(sys.argv[1]), fd) for fd in (3, 4)]; os.execv(sys.argv[2], sys.argv[2:])"
TIMEOUT_S = 60

PAGES = Pages(Brand("W" * 60, "#ffd400"))
NOTICES = {
    **{outcome.label: PAGES.of(outcome) for outcome in Outcome if outcome not in {Outcome.REDIRECT, Outcome.HEAD}},
    "opens": PAGES.of(Outcome.NOT_YET, opens_at_ns=0),
    "banned_by_law": PAGES.banned(is_legal=True),
    "unavailable": PAGES.unavailable(),
}
FORMS = {"locked": PAGES.locked(None)} | {problem: PAGES.locked(problem) for problem in PROBLEMS}
POLICIES = dict.fromkeys(NOTICES, PAGES.content_security_policy) | dict.fromkeys(FORMS, PAGES.locked_security_policy)

Answer = tuple[int, dict[str, str], bytes]


class Chromium:
    """One tab."""

    def __init__(self, profile: Path) -> None:
        self._ours, theirs = socket.socketpair()
        self._ours.settimeout(TIMEOUT_S)
        with theirs:
            launch = [sys.executable, "-c", ON_3_AND_4, str(theirs.fileno()), str(CHROMIUM), *FLAGS]
            self._process = subprocess.Popen(
                [*launch, f"--user-data-dir={profile}", "about:blank"],
                pass_fds=[theirs.fileno()],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"HOME": str(profile)},
            )
        self._replies = self._ours.makefile("rb")
        self._session: dict[str, str] = {}
        self._calls = 0
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": parameters} | self._session
        self._ours.sendall(json.dumps(message).encode() + b"\0")
        while (reply := self._read()).get("id") != self._calls:
            self.events.append(reply)
        assert "error" not in reply, reply
        return reply["result"]

    def evaluate(self, script: str) -> Any:
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def show(self, url: str, width: int = 320) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=568, deviceScaleFactor=1, mobile=True)
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait_for_load()

    def wait_for_load(self) -> None:
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def complaints(self) -> list[str]:
        self.evaluate("0")
        entries = [
            event["params"]["entry"]["text"] for event in self.events if event.get("method") == "Log.entryAdded"
        ]
        return [text for text in entries if "Content Security Policy" in text]

    def close(self) -> None:
        """The end of its pipe ends Chromium."""
        self._replies.close()
        self._ours.close()
        self._process.wait(TIMEOUT_S)

    def _read(self) -> dict[str, Any]:
        message = bytearray()
        while (byte := self._replies.read(1)) != b"\0":
            assert byte, "Chromium ended"
            message += byte
        return json.loads(message)


@contextmanager
def serving(answer: Callable[[str, str, bytes], Answer]) -> Iterator[int]:
    """The port of a site that answers method, path and body."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, page = answer(self.command, self.path, body)
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(page))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page)

        do_GET = do_POST = handle_any  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def html(page: bytes, policy: str) -> Answer:
    return 200, {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}, page


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    browser = Chromium(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.mark.parametrize("name", POLICIES)
def test_a_page_is_styled_within_its_policy_and_fits_a_narrow_phone(chromium, name):
    with serving(lambda *_: html((NOTICES | FORMS)[name], POLICIES[name])) as port:
        chromium.show(f"http://127.0.0.1:{port}/r/menu")
        assert chromium.complaints() == []
        assert (
            chromium.evaluate("getComputedStyle(document.querySelector('svg')).backgroundColor") == "rgb(255, 212, 0)"
        )
        assert chromium.evaluate("document.documentElement.scrollWidth") == 320


def test_the_policy_of_another_colour_is_a_complaint(chromium):
    with serving(lambda *_: html(PAGES.unavailable(), Pages(Brand()).content_security_policy)) as port:
        chromium.show(f"http://127.0.0.1:{port}/r/menu")
        assert chromium.complaints()


def test_a_right_password_leads_to_another_site(chromium):
    forms = []

    def edge(method: str, path: str, body: bytes) -> Answer:
        if method == "GET":
            return html(FORMS["locked"], POLICIES["locked"])
        forms.append((path, body))
        return 303, {"Location": f"http://localhost:{target}/menu"}, b""

    with serving(lambda *_: html(b"<title>The menu</title>", "")) as target, serving(edge) as port:
        chromium.show(f"http://127.0.0.1:{port}/r/menu?table=7")
        chromium.events.clear()
        chromium.evaluate("document.querySelector('input').value = 'caf\\u00e9 & tea'")
        chromium.evaluate("document.querySelector('button').click()")
        chromium.wait_for_load()
        assert chromium.evaluate("document.title") == "The menu"
        assert forms == [("/r/menu?table=7", b"password=caf%C3%A9+%26+tea")]
        assert chromium.complaints() == []
