"""A demo workspace with a few codes, made through the API as any client would; safe to repeat.

The workspace's key is shown by the API once, so it is kept in the data directory (`demo-key`, 0600).
"""

import os
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import orjson

EMAIL = "demo@example.com"
CODES = (
    ("Menu", "demo-menu", "https://example.com/menu"),
    ("Poster", "demo-poster", "https://example.com/poster?utm_source=poster"),
    ("Manual", "demo-manual", "https://example.com/manual.pdf"),
)
TIMEOUT_S = 10


class DemoFailed(Exception):
    """The message says why."""


def seed_demo(api_url: str, admin_key: str, data_dir: Path) -> str:
    """The text to show: the key, short URLs and commands to try. Raises DemoFailed."""
    key = _demo_key(api_url, admin_key, data_dir)
    for name, code, target in CODES:
        body = {"name": name, "type": "url", "target_url": target, "short_code": code}
        _call(api_url, key, "POST", "/v1/qr-codes", body, accept=(201, 409))
    codes = _call(api_url, key, "GET", "/v1/qr-codes?limit=200")["data"]
    demo = {code["short_code"]: code for code in codes}
    lines = [f"demo key:  {key}"]
    lines += [f"{name + ':':<10} {demo[code]['short_url']}" for name, code, _ in CODES if code in demo]
    return "\n".join([*lines, "", *_commands(api_url, key, next(iter(demo.values()), None)), ""])


def _commands(api_url: str, key: str, code: dict[str, Any] | None) -> list[str]:
    if code is None:
        return []
    return [
        "scan one, then see it counted:",
        f"  curl -i {code['short_url']}",
        f"  curl -s -H 'Authorization: Bearer {key}' {api_url}/v1/qr-codes/{code['id']}/analytics",
        "create one of your own:",
        f"  curl -s -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\",
        """       -d '{"name": "Mine", "type": "url", "target_url": "https://example.com/"}' \\""",
        f"       {api_url}/v1/qr-codes",
    ]


def _demo_key(api_url: str, admin_key: str, data_dir: Path) -> str:
    path = data_dir / "demo-key"
    if path.exists():
        key = path.read_text().strip()
        if _call(api_url, key, "POST", "/v1/public/verify-key", {"key": key})["valid"]:
            return key
    answer = _call(api_url, admin_key, "POST", "/v1/admin/users", {"email": EMAIL, "name": "Demo"}, accept=(201, 409))
    if "api_key" not in answer:
        raise DemoFailed(f"the user {EMAIL} exists already, and no valid key of theirs is in {path}")
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(answer["api_key"] + "\n")
    return str(answer["api_key"])


def _call(  # noqa: PLR0913 - an HTTP request
    api_url: str, key: str, method: str, path: str, body: object = None, accept: tuple[int, ...] = (200, 201)
) -> dict[str, Any]:
    request = Request(  # noqa: S310 - our own http address
        api_url + path,
        method=method,
        data=None if body is None else orjson.dumps(body),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return dict(orjson.loads(answer.read()))
    except HTTPError as error:
        content = error.read()
        if error.code in accept:
            return dict(orjson.loads(content))
        raise DemoFailed(f"{method} {path} answered {error.code}: {content.decode(errors='replace')}") from error
    except (URLError, OSError) as error:
        raise DemoFailed(f"the API at {api_url} does not answer: {error}") from error
