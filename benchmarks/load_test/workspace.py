"""A workspace of the test's own, with its codes, made with the admin key and emptied at the end."""

import time
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import httpx

from benchmarks.load_test.running_product import RunningProduct

TIMEOUT_S = 20.0


class Workspace:
    """`codes`: the ids of the QR codes, by short code. `targets`: what they led to at first."""

    def __init__(self, product: RunningProduct, codes: int) -> None:
        """Raises httpx.HTTPError when the API refuses or does not answer."""
        self._product = product
        self._user_id, self.key = self._create_user()
        self.codes: dict[str, str] = {}
        self.targets: dict[str, str] = {}
        with self._api() as api:
            for number in range(codes):
                self._create_code(api, f"https://www.example.com/load/{number}")

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def read_totals(self) -> dict[str, int]:
        """The counted scans of each code."""
        with self._api() as api:
            return {code: _json(api.get(analytics_path(qr_id)))["total_scans"] for code, qr_id in self.codes.items()}

    def remove(self) -> None:
        """The codes, and the user where the API can remove one."""
        with self._api() as api:
            for qr_id in self.codes.values():
                api.delete(f"/v1/qr-codes/{qr_id}").raise_for_status()
        with self._admin() as admin:
            admin.delete(f"/v1/admin/users/{self._user_id}")

    def _create_user(self) -> tuple[str, str]:
        body = {"email": f"load-{uuid4()}@example.com", "name": "Load test"}
        with self._admin() as admin:
            answer = _json(admin.post("/v1/admin/users", json=body))
        return answer["user"]["id"], answer["api_key"]

    def _create_code(self, api: httpx.Client, target: str) -> None:
        code = _json(api.post("/v1/qr-codes", json={"name": "load", "type": "url", "target_url": target}))
        self.codes[code["short_code"]] = code["id"]
        self.targets[code["short_code"]] = target

    def _api(self) -> httpx.Client:
        return self._client(self.headers.items())

    def _admin(self) -> httpx.Client:
        return self._client({"Authorization": f"Bearer {self._product.admin_key}"}.items())

    def _client(self, headers: Iterable[tuple[str, str]]) -> httpx.Client:
        return httpx.Client(
            base_url=self._product.api_url, headers=dict(headers), timeout=TIMEOUT_S, transport=_Patient()
        )


class _Patient(httpx.HTTPTransport):
    """Waits as long as the API's rate limit says, and asks again."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        while (answer := super().handle_request(request)).status_code == 429:
            answer.close()
            time.sleep(float(answer.headers["Retry-After"]))
        return answer


def analytics_path(qr_id: str) -> str:
    return f"/v1/qr-codes/{qr_id}/analytics"


def _json(answer: httpx.Response) -> Any:
    answer.raise_for_status()
    return answer.json()
