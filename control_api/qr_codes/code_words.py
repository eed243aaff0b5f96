"""Words that no short code should hold: it is printed, and stays.

A code that is asked for is refused when a part of it (between '-' and '_') is one of the words, or when it holds one
of the worst anywhere. A code that is drawn holds none of them anywhere, digits read as the letters they look like.
"""

from collections.abc import Callable

_WORST = (
    "fuck",
    "nigger",
    "nigga",
    "faggot",
    "motherf",
    "hitler",
    "arschloch",
    "fotze",
    "hurensohn",
    "connard",
    "salope",
)
_WORDS = (
    *("anal", "anus", "arse", "ass", "bitch", "cock", "coon", "cum", "cunt", "dick", "dyke", "fag", "fck", "gook"),
    *("heil", "jizz", "kike", "kkk", "nazi", "nsdap", "paki", "penis", "piss", "porn", "pussy", "rape"),
    *("sex", "shit", "slut", "spic", "tits", "twat", "wank", "whore", "arsch", "kacke", "nutte", "pimmel", "wichser"),
    *("merde", "pute", "puta", "mierda", "cazzo", "merda", "kurwa"),
)
_LOOK_ALIKES = str.maketrans("0134578", "oieastb")

MAX_DRAWS = 100


class OffensiveCode(ValueError):
    """The code holds a word that none should; the message says so without it."""


def require_decent(code: str) -> None:
    """Of a code that somebody asks for, in any letter case. Raises OffensiveCode."""
    text = code.lower()
    parts = text.replace("_", "-").split("-")
    if any(_read(part) in _WORDS or part in _WORDS for part in parts) or _holds(text, _WORST):
        raise OffensiveCode("holds a word that offends")


def draw_decent(draw: Callable[[], str]) -> str:
    """The first of what `draw` gives that offends nowhere; the last one where it gives no other."""
    code = draw()
    for _ in range(MAX_DRAWS):
        if not _holds(code, _WORST) and not _holds(code, _WORDS):
            break
        code = draw()
    return code


def _holds(text: str, words: tuple[str, ...]) -> bool:
    plain = text.replace("-", "").replace("_", "")
    return any(word in plain or word in _read(plain) for word in words)


def _read(text: str) -> str:
    return text.translate(_LOOK_ALIKES)
