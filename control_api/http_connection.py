"""The protocol of the API's connections: uvicorn's, but for what it says to somebody who speaks no HTTP."""

import secrets

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from control_api.web.problem import MEDIA_TYPE
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.request_id import HEADER


class ApiConnection(HttpToolsProtocol):
    """Like every other error this one is a problem, and has an id."""

    def send_400_response(self, msg: str) -> None:
        kind = ProblemKind.BAD_REQUEST
        document = {"type": kind.type, "title": kind.title, "status": kind.status, "detail": msg, "code": kind.code}
        body = orjson.dumps(document)
        head = (
            f"HTTP/1.1 400 Bad Request\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
            f"{HEADER}: {secrets.token_hex(16)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
