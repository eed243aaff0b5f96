"""`scanhop api`: the control API as a process."""

import socket
from functools import partial

from control_api.app import build_app
from control_api.http_connection import MAX_CONNECTIONS, ApiConnection
from control_api.settings import api_settings_from
from scanhop.serving import Served, connections_within, raise_file_limit, run_on_loop, serve
from scanhop.settings import Settings
from scanhop.telemetry.logs import configure_logs, get_logger


def run_api(settings: Settings, listener: socket.socket) -> None:
    """Serves `listener` until SIGTERM or SIGINT, then answers what is under way. Raises InvalidSettings."""
    configure_logs("api", settings.log_level)
    app = build_app(api_settings_from(settings))
    get_logger().info("listening", address="{}:{}".format(*listener.getsockname()[:2]))
    new_connection = partial(ApiConnection, max_connections=connections_within(raise_file_limit(), MAX_CONNECTIONS))
    run_on_loop(serve(Served(app, listener, new_connection), on_drain=app.state.live.close))
