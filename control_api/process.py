"""`scanhop api`: the control API as a process."""

import socket

from control_api.app import build_app
from control_api.http_connection import ApiConnection
from control_api.settings import api_settings_from
from scanhop.serving import Served, run_on_loop, serve
from scanhop.settings import Settings
from scanhop.telemetry.logs import configure_logs, get_logger


def run_api(settings: Settings, listener: socket.socket) -> None:
    """Serves `listener` until SIGTERM or SIGINT, then answers what is under way. Raises InvalidSettings."""
    configure_logs("api", settings.log_level)
    app = build_app(api_settings_from(settings))
    get_logger().info("listening", address="{}:{}".format(*listener.getsockname()[:2]))
    run_on_loop(serve(Served(app, listener, ApiConnection), on_drain=app.state.live.close))
