"""The load test: phones scan, owners edit and read analytics beside them, and every answer is checked.

    locust -f benchmarks/locustfile.py --headless -u 50 -r 10 -t 60s

runs against the `scanhop up` of the current folder; docs/benchmarks.md lists the variables. Ends with code 1 after a
violation. Run by several processes (--processes), each has a workspace of its own.
"""

import logging
import os
import sys
import time
from pathlib import Path

import gevent  # type: ignore[import-untyped]
import httpx
from locust import FastHttpUser, between, events, task
from locust.env import Environment
from locust.runners import MasterRunner

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.load_test.referee import Answer
from benchmarks.load_test.running_product import NotFound, find_product
from benchmarks.load_test.trial import Trial
from benchmarks.load_test.workspace import analytics_path

DEFAULT_CODES, DEFAULT_WITHIN_MS = 100, 100

_trials: dict[Environment, Trial] = {}


def begin(environment: Environment, **_: object) -> None:
    if isinstance(environment.runner, MasterRunner):
        return
    logging.getLogger("httpx").setLevel(logging.WARNING)
    codes = int(os.environ.get("LOAD_CODES", DEFAULT_CODES))
    within_s = float(os.environ.get("LOAD_EDIT_WITHIN_MS", DEFAULT_WITHIN_MS)) / 1000
    try:
        product = find_product(environment.host, os.environ)
        _trials[environment] = Trial.begin(product, codes, within_s)
    except (NotFound, httpx.HTTPError) as error:
        print(f"the load test cannot begin: {error}", file=sys.stderr)
        environment.process_exit_code = 2
        if environment.runner is not None:
            gevent.spawn(environment.runner.quit)


def end(environment: Environment, **_: object) -> None:
    trial = _trials.pop(environment, None)
    if trial is None:
        return
    try:
        trial.end()
    except httpx.HTTPError as error:
        print(f"the totals were not read, or the codes not removed: {error}", file=sys.stderr)
        environment.process_exit_code = 1
    print(trial.summary())
    if trial.referee.faults:
        environment.process_exit_code = 1


events.test_start.add_listener(begin)  # type: ignore[no-untyped-call]
events.test_stop.add_listener(end)  # type: ignore[no-untyped-call]


class Visitor(FastHttpUser):
    """Does nothing where the test could not begin."""

    abstract = True
    host = "http://given-in-full"

    def on_start(self) -> None:
        if self.environment not in _trials:
            raise gevent.GreenletExit  # locust would log its own StopUser as an error here


class Phone(Visitor):
    """Scans, now and then on a new connection, and follows no redirect."""

    weight = 9
    wait_time = between(0.02, 0.2)

    @task
    def scan(self) -> None:
        trial = _trials[self.environment]
        scan = trial.mix.draw()
        url = trial.product.edge_url + scan.path
        trial.referee.note_asked(scan)
        asked_at = time.monotonic()
        with self.client.request(
            scan.method,
            url,
            name=f"{scan.method} /r/{'{code}' if scan.code else '{unknown}'}",
            headers=scan.headers,
            allow_redirects=False,
            catch_response=True,
        ) as response:
            headers = {name.lower(): value for name, value in (response.headers or {}).items()}
            body = response.content or b""
            answer = Answer(response.status_code, headers, len(body), asked_at, time.monotonic())
            fault = trial.referee.judge(scan, answer)
            if fault is None:
                response.success()
            else:
                response.failure(fault)


class Owner(Visitor):
    """Sends codes elsewhere, and looks how often they were scanned."""

    weight = 1
    wait_time = between(0.1, 0.5)

    @task(3)
    def edit(self) -> None:
        trial = _trials[self.environment]
        code = trial.mix.draw_code()
        target = f"https://www.example.com/load/edited/{time.time_ns()}"
        edit = trial.referee.begin_edit(code, target, time.monotonic())
        if edit is None:
            return
        with self.client.patch(
            f"{trial.product.api_url}/v1/qr-codes/{trial.workspace.codes[code]}",
            name="PATCH /v1/qr-codes/{id}",
            json={"target_url": target},
            headers=trial.workspace.headers,
            catch_response=True,
        ) as response:
            fault = trial.referee.end_edit(code, edit, response.status_code, time.monotonic())
            if fault is None:
                response.success()
            else:
                response.failure(fault)

    @task(1)
    def read_analytics(self) -> None:
        trial = _trials[self.environment]
        code = trial.mix.draw_code()
        highest_before = trial.referee.highest_total(code)
        with self.client.get(
            trial.product.api_url + analytics_path(trial.workspace.codes[code]),
            name="GET /v1/qr-codes/{id}/analytics",
            headers=trial.workspace.headers,
            catch_response=True,
        ) as response:
            if response.status_code != 200:
                response.failure(f"status {response.status_code}")
                return
            fault = trial.referee.judge_total(code, response.json()["total_scans"], highest_before)
            if fault is None:
                response.success()
            else:
                response.failure(fault)
