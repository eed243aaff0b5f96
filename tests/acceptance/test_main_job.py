"""Create a code, scan it, see the scan counted: with every process real.

How soon is measured by benchmarks/freshness.py, and not asserted here.
"""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from scanhop.client_facts.device import DeviceReader
from tests.acceptance.user_agents import USER_AGENTS
from tests.product import Product, eventually

SCANS, CODES = 1000, 20


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    env = {"SCANHOP_TRUSTED_PROXIES": "127.0.0.0/8", "SCANHOP_LOG_LEVEL": "warning"}
    with Product(tmp_path_factory.mktemp("up") / "data", env, "--edge-workers", "2") as running:
        yield running


def test_a_scan_shows_in_the_analytics(product):
    with product.api(product.new_account("quick@example.com")) as api:
        code = api.post("/v1/qr-codes", json={"name": "One", "type": "url", "target_url": "https://example.com/1"})
        assert code.status_code == 201
        scan = httpx.get(code.json()["short_url"])
        assert (scan.status_code, scan.headers["location"]) == (302, "https://example.com/1")
        path = f"/v1/qr-codes/{code.json()['id']}/analytics"
        eventually(lambda: api.get(path).json()["total_scans"] == 1)
        assert api.get(path).json()["unique_visitors"] == 1


def test_an_edit_and_a_deletion_reach_the_edge(product):
    with product.api(product.new_account("edit@example.com")) as api:
        code = api.post(
            "/v1/qr-codes", json={"name": "E", "type": "url", "target_url": "https://example.com/a"}
        ).json()
        assert httpx.get(code["short_url"]).headers["location"] == "https://example.com/a"
        path = f"/v1/qr-codes/{code['id']}"
        assert api.patch(path, json={"target_url": "https://example.com/b"}).status_code == 200
        eventually(lambda: httpx.get(code["short_url"]).headers["location"] == "https://example.com/b")
        assert api.patch(path, json={"status": "paused"}).status_code == 200
        eventually(lambda: httpx.get(code["short_url"]).status_code == 410)
        assert api.patch(path, json={"status": "active"}).status_code == 200
        eventually(lambda: httpx.get(code["short_url"]).status_code == 302)
        assert api.delete(path).status_code == 204
        eventually(lambda: httpx.get(code["short_url"]).status_code == 410)


def test_a_scheduled_change_reaches_the_edge_at_its_time(product):
    with product.api(product.new_account("season@example.com")) as api:
        code = _create(api, "Season")
        at = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
        path = f"/v1/qr-codes/{code['id']}/scheduled-changes"
        wanted = {"at": at, "change": {"target_url": "https://example.com/season"}}
        assert api.post(path, json=wanted).status_code == 201
        eventually(lambda: httpx.get(code["short_url"]).headers["location"] == "https://example.com/season")
        assert api.get(path).json()["data"][0]["status"] == "applied"


def test_a_thousand_scans_are_a_thousand_rows_with_the_right_figures(product):
    with product.api(product.new_account("thousand@example.com")) as api:
        codes = [_create(api, f"Code {number}") for number in range(CODES)]
        chosen = random.Random(7)
        scans = [
            (chosen.choice(codes), chosen.choice(USER_AGENTS), f"198.51.100.{chosen.randrange(1, 40)}")
            for _ in range(SCANS)
        ]
        days = {_today()}
        with ThreadPoolExecutor(16) as pool, httpx.Client(limits=httpx.Limits(max_connections=16)) as phone:
            statuses = Counter(pool.map(lambda scan: _scan(phone, *scan), scans))
        days.add(_today())
        assert statuses == {302: SCANS}
        ids = ", ".join(f"'{code['id']}'" for code in codes)
        mine = f"qr_id IN ({ids})"
        eventually(lambda: product.query(f"SELECT count() FROM qr_scan_events WHERE {mine}") == [(SCANS,)])

        assert product.query(f"SELECT uniqExact(event_id), uniqExact(ip) FROM qr_scan_events WHERE {mine}") == [
            (SCANS, 1)
        ]
        per_code = Counter(code["id"] for code, _, _ in scans)
        rows = product.query(f"SELECT toString(qr_id), count() FROM qr_scan_events WHERE {mine} GROUP BY qr_id")
        assert dict(rows) == per_code
        devices = DeviceReader()
        per_device = Counter(str(devices.read(agent).device_type) for _, agent, _ in scans)
        rows = product.query(f"SELECT device_type, count() FROM qr_scan_events WHERE {mine} GROUP BY device_type")
        assert dict(rows) == per_device
        people = SCANS - per_device["bot"]
        events, counted, rolled_up = product.query(
            f"SELECT sum(events), sum(scans), sumMap(devices) FROM daily_aggregates WHERE {mine}"
        )[0]
        assert (events, counted) == (SCANS, people)
        assert rolled_up == {device: count for device, count in per_device.items() if device != "bot"}

        total = 0
        for code in codes:
            answer = api.get(f"/v1/qr-codes/{code['id']}/analytics").json()
            total += answer["total_scans"]
            by_day = {point["at"][:10]: point["scans"] for point in answer["series"] if point["scans"]}
            assert sum(by_day.values()) == answer["total_scans"]
            assert set(by_day) <= days
            assert sum(device["scans"] for device in answer["devices"]) == answer["total_scans"]
            wanted = len({(agent, ip) for its, agent, ip in scans if its is code and not _is_bot(devices, agent)})
            if len(days) == 1:
                assert answer["unique_visitors"] == wanted
        assert total == people


def test_what_the_batches_say_is_what_the_tables_hold(product):
    eventually(
        lambda: (
            product.query("SELECT sum(rows) FROM scan_batches FINAL")
            == product.query("SELECT count() FROM qr_scan_events")
            == product.query("SELECT sum(events) FROM daily_aggregates")
        )
    )


def _create(api: httpx.Client, name: str) -> dict[str, str]:
    answer = api.post("/v1/qr-codes", json={"name": name, "type": "url", "target_url": "https://example.com/x"})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def _scan(phone: httpx.Client, code: dict[str, str], user_agent: str, address: str) -> int:
    headers = {"User-Agent": user_agent, "X-Forwarded-For": f"10.1.1.1, {address}"}
    return phone.get(code["short_url"], headers=headers).status_code


def _is_bot(devices: DeviceReader, user_agent: str) -> bool:
    return devices.read(user_agent).device_type == "bot"


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def test_every_process_runs_under_its_name(product):
    for name in ("edge", "ingest", "api", "worker"):
        assert product.pids("scanhop", name), name
    assert len(product.pids("scanhop", "edge")) == 3
    assert Path(product.data_dir / "admin-key").stat().st_mode & 0o777 == 0o600
