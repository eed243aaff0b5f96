"""What is sent: complete requests and the order in which they go, in files that the load generators read."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.traffic.phones import Headers
from benchmarks.traffic.zipf import Zipf

HOST = "go.example.com"
ADDRESS_MARK, CODE_MARK = "\x01", "\x02"
ORDER_LENGTH = 1 << 16


@dataclass(frozen=True)
class Plan:
    """`code_format` and `code_count` say which codes stand where the requests leave one open."""

    folder: Path
    code_format: str = "x"
    code_count: int = 1


def build_request(code: str, headers: Headers, *extra: tuple[str, str]) -> str:
    lines = [f"GET /r/{code} HTTP/1.1", f"Host: {HOST}", *(f"{name}: {value}" for name, value in (*headers, *extra))]
    return "\r\n".join([*lines, "", ""])


def closing(headers: Headers) -> Headers:
    """The block of a phone that wants no second request on its connection."""
    return tuple((name, "close" if name == "Connection" else value) for name, value in headers)


def write_plan(
    folder: Path, requests: Sequence[str], chance: random.Random, code_format: str = "x", code_count: int = 1
) -> Plan:
    """Sent by Zipf's law: the first request is the most frequent one."""
    folder.mkdir(parents=True)
    (folder / "requests").write_bytes("\0".join(requests).encode())
    numbers = Zipf(len(requests), chance).draw_many(ORDER_LENGTH)
    (folder / "order").write_text(" ".join(str(number + 1) for number in numbers))
    return Plan(folder, code_format, code_count)
