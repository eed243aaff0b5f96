"""What is scanned, by whom and how: drawn as it comes in the wild."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.traffic.phones import list_header_blocks
from benchmarks.traffic.zipf import Zipf

HEADER_BLOCKS = 500
UPPER_CASE, HEAD, BOT, UNKNOWN, NEW_CONNECTION = 0.3, 0.03, 0.04, 0.04, 0.2  # shares of all scans
BOT_USER_AGENTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Twitterbot/1.0",
)
UNKNOWN_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Scan:
    """`code`: which of the codes, or None for one that does not exist. `is_counted`: analytics must count it."""

    method: str
    path: str
    headers: dict[str, str]
    code: str | None
    is_counted: bool


class ScanMix:
    """Draws scans of `codes`, the first the most popular one."""

    def __init__(self, codes: Sequence[str], chance: random.Random) -> None:
        self._codes = codes
        self._chance = chance
        self._popularity = Zipf(len(codes), chance)
        self._blocks = list_header_blocks(HEADER_BLOCKS, chance)
        self._block_popularity = Zipf(HEADER_BLOCKS, chance)

    def draw(self) -> Scan:
        chance = self._chance
        code = None if chance.random() < UNKNOWN else self._codes[self._popularity.draw()]
        method = "HEAD" if chance.random() < HEAD else "GET"
        is_bot = chance.random() < BOT
        headers = self._bot() if is_bot else self._phone()
        headers["Connection"] = "close" if chance.random() < NEW_CONNECTION else "keep-alive"
        is_counted = code is not None and method == "GET" and not is_bot
        return Scan(method, self._spell(code or self._no_code()), headers, code, is_counted)

    def draw_code(self) -> str:
        return self._codes[self._popularity.draw()]

    def _spell(self, code: str) -> str:
        return f"/R/{code.upper()}" if self._chance.random() < UPPER_CASE else f"/r/{code}"

    def _no_code(self) -> str:
        """12 random characters; a generated code has 7."""
        return "".join(self._chance.choices(UNKNOWN_LETTERS, k=12))

    def _phone(self) -> dict[str, str]:
        return dict(self._blocks[self._block_popularity.draw()])

    def _bot(self) -> dict[str, str]:
        return {"User-Agent": self._chance.choice(BOT_USER_AGENTS), "Accept": "*/*"}
