"""`scanhop api` as a process: listens, drains, says why it cannot."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from tests.integration.control_api.api_client import ADMIN_KEY

WAIT_S = 20


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def environment(postgres_dsn, redis_url, tmp_path):
    return {
        "PATH": os.environ["PATH"],
        "SCANHOP_POSTGRES_DSN": postgres_dsn,
        "SCANHOP_REDIS_URL": redis_url,
        "SCANHOP_CLICKHOUSE_URL": "http://127.0.0.1:9/",
        "SCANHOP_ADMIN_KEY": ADMIN_KEY,
        "SCANHOP_API_BIND": f"127.0.0.1:{free_port()}",
    }


def start(environment, tmp_path):
    return subprocess.Popen(
        [sys.executable, "-m", "scanhop", "api"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def process(environment, tmp_path):
    started = start(environment, tmp_path)
    url = f"http://{environment['SCANHOP_API_BIND']}"
    try:
        wait_until_it_listens(url, started)
        yield started, url
    finally:
        started.kill()
        started.communicate()


def wait_until_it_listens(url, started):
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            httpx.get(url).raise_for_status()
        except httpx.TransportError:
            assert started.poll() is None, started.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def test_it_serves_without_a_server_header_and_refuses_large_bodies_of_either_kind(process):
    _, url = process
    answer = httpx.get(f"{url}/v1/public/health")
    assert answer.json()["stores"]["postgres"]["status"] == "ok"
    assert "server" not in answer.headers
    headers = {"X-API-Key": ADMIN_KEY}
    large = b"x" * (3 << 20)
    for body in (large, (large[: 1 << 16] for _ in range(48))):
        answer = httpx.post(f"{url}/v1/admin/users", headers=headers, content=body)
        assert answer.status_code == 413
        assert answer.json()["code"] == "body_too_large"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_what_is_under_way_and_ends_well(process, number):
    started, url = process
    answers = []
    with httpx.Client(base_url=url, headers={"X-API-Key": ADMIN_KEY}) as client:

        def slow_body():
            yield b'{"email": "ada@'
            started.send_signal(number)
            time.sleep(0.5)
            yield b'example.com"}'

        sender = threading.Thread(target=lambda: answers.append(client.post("/v1/admin/users", content=slow_body())))
        sender.start()
        sender.join(WAIT_S)
    _, log = started.communicate(timeout=WAIT_S)
    assert [answer.status_code for answer in answers] == [201]
    assert started.returncode == 0
    assert "Traceback" not in log
    assert ADMIN_KEY not in log


def test_a_port_in_use_is_one_clear_line(environment, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        started = start(environment | {"SCANHOP_API_BIND": address}, tmp_path)
        _, log = started.communicate(timeout=WAIT_S)
    assert started.returncode == 1
    assert log.startswith(f"scanhop: the api cannot listen on {address}: ")
    assert log.count("\n") == 1


def test_a_missing_setting_is_named(environment, tmp_path):
    del environment["SCANHOP_REDIS_URL"]
    started = start(environment, tmp_path)
    _, log = started.communicate(timeout=WAIT_S)
    assert started.returncode == 2
    assert "SCANHOP_REDIS_URL" in log
    assert "Traceback" not in log


def test_what_is_no_http_is_answered_by_a_problem_too(process):
    _, url = process
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=WAIT_S) as client:
        client.sendall(b"GET / HTTP/1.1\r\nno header at all\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert b"x-request-id: " in head
    assert json.loads(body)["code"] == "bad_request"
