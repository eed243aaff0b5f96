"""Whether a server answers a request as it should; asked once before each measurement, by a client of its own."""

import socket
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse

TIMEOUT_S = 5.0


class WrongAnswer(Exception):
    """A contender does not answer as the row asks; the message says how."""


@dataclass(frozen=True)
class Expected:
    """A redirect to `location`, or without one a page that says 404."""

    location: str | None

    @property
    def status(self) -> int:
        return 404 if self.location is None else 302


def check_answer(port: int, request: str, expected: Expected) -> None:
    """Raises WrongAnswer."""
    try:
        answer = _ask(port, request)
    except (OSError, HTTPException) as error:
        raise WrongAnswer(f"no answer: {error}") from error
    found = (answer.status, answer.headers["Location"])
    if found != (expected.status, expected.location):
        raise WrongAnswer(f"{found} instead of {(expected.status, expected.location)}")
    if expected.location is not None:
        _check_headers(answer)


def _check_headers(answer: HTTPResponse) -> None:
    wanted = {"Cache-Control": "private, no-store", "X-Robots-Tag": "noindex"}
    for name, value in wanted.items():
        if answer.headers[name] != value:
            raise WrongAnswer(f"{name}: {answer.headers[name]!r} instead of {value!r}")
    if not answer.headers["Date"]:
        raise WrongAnswer("no Date")


def _ask(port: int, request: str) -> HTTPResponse:
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.sendall(request.encode())
        answer = HTTPResponse(connection)
        answer.begin()
        answer.read()
        return answer
