"""HEAD wherever GET is: the same answer without its body (RFC 9110, section 9.3.2)."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """ASGI middleware: inside of it a HEAD is a GET, outside it is what it is. A stream ends with its head."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        is_over = False

        async def send_without_body(message: Message) -> None:
            """The server tells the application that the client is gone once the answer is over."""
            nonlocal is_over
            if is_over:
                return
            if message["type"] == "http.response.body":
                is_over = True
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        scope["method"] = "GET"
        await self._app(scope, receive, send_without_body)
