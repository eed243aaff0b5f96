"""Where the product under load is reached: said by variables, or by the `scanhop up` that runs in the data directory.

| variable | else |
|---|---|
| LOAD_EDGE_URL, or locust's --host | the edge of the running `scanhop up` |
| LOAD_API_URL | its API |
| LOAD_ADMIN_KEY | its platform-admin key |
"""

from collections.abc import Mapping
from dataclasses import dataclass

from scanhop.cli.running_stack import with_running_stack
from scanhop.settings import Bind, InvalidSettings, Settings, load_settings

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


class NotFound(Exception):
    """Something needed is not said anywhere; the message names it."""


@dataclass(frozen=True)
class RunningProduct:
    """Base addresses without a slash at the end."""

    edge_url: str
    api_url: str
    admin_key: str


def find_product(host: str | None, environ: Mapping[str, str]) -> RunningProduct:
    """Raises NotFound."""
    try:
        settings = with_running_stack(load_settings(), None)
    except InvalidSettings as error:
        raise NotFound(str(error)) from error
    admin_key = environ.get("LOAD_ADMIN_KEY") or settings.admin_key
    if admin_key is None:
        raise NotFound("no `scanhop up` runs in SCANHOP_DATA_DIR (.scanhop), and LOAD_ADMIN_KEY is not set")
    edge_url = host or environ.get("LOAD_EDGE_URL") or _url(settings, "edge_bind")
    api_url = environ.get("LOAD_API_URL") or _url(settings, "api_bind")
    return RunningProduct(edge_url.rstrip("/"), api_url.rstrip("/"), admin_key)


def _url(settings: Settings, name: str) -> str:
    bind: Bind = getattr(settings, name)
    return f"http://{Bind(host=EVERYWHERE.get(bind.host, bind.host), port=bind.port)}"
