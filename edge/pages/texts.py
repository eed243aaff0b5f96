"""What the pages say: plain words for somebody who has just scanned a poster, and what they can do now.

A symbol is the path of a drawing of lines, 24 by 24.
"""

from typing import NamedTuple

from scanhop.wire.scan_record import Outcome


class Text(NamedTuple):
    """`happened`: why nothing opened. `then`: what to do about it."""

    heading: str
    happened: str
    then: str
    symbol: str


_QUESTION = "M9 9a3 3 0 1 1 4.5 2.6c-.9.5-1.5 1.2-1.5 2.4M12 17.5v.01"
_CROSS = "M7 7l10 10M17 7L7 17"
_STOP = "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M5.7 5.7l12.6 12.6"
_PAUSE = "M9 6v12M15 6v12"
_CLOCK = "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 7v5l3.5 2"
_LOCK = "M6 11h12v9H6zM8.5 11V7.5a3.5 3.5 0 0 1 7 0V11"
_AGAIN = "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L19.5 9M19.5 4v5h-5"

TEXTS = {
    Outcome.UNKNOWN: Text(
        "We do not know this code",
        "It does not lead anywhere. It may be misprinted, or the camera misread it.",
        "Try scanning it once more. If this page comes back, ask whoever put up the code.",
        _QUESTION,
    ),
    Outcome.DELETED: Text(
        "This code is gone",
        "Its owner has removed it, so it does not open anything any more.",
        "Ask whoever put up the code where to find what you were looking for.",
        _CROSS,
    ),
    Outcome.BANNED: Text(
        "This code is blocked",
        "It broke the rules of this service, so it does not open anything. Nothing happened to your phone.",
        "If you saw it in a shop, at a stop or in an office, please tell the people in charge there.",
        _STOP,
    ),
    Outcome.PAUSED: Text(
        "This code is paused",
        "Its owner has switched it off for the moment.",
        "Scan it again later, or ask whoever put up the code.",
        _PAUSE,
    ),
    Outcome.NOT_YET: Text(
        "This code is not open yet",
        "Its time is still to come.",
        "Scan it again later, or ask whoever put up the code.",
        _CLOCK,
    ),
    Outcome.EXPIRED: Text(
        "This code has ended",
        "It was made for a limited time, and that time is over.",
        "Ask whoever put up the code whether there is a new one.",
        _CLOCK,
    ),
    Outcome.LIMIT: Text(
        "This code is used up",
        "It worked for a limited number of scans, and they have all been made.",
        "Ask whoever put up the code whether there is a new one.",
        _CROSS,
    ),
}
BANNED_BY_LAW = Text(
    "This code is blocked",
    "For legal reasons, it must not open anything. Nothing happened to your phone.",
    "If you need what it led to, ask whoever put up the code.",
    _STOP,
)
LOCKED = Text(
    "This code needs a password",
    "Its owner has locked it.",
    "If you do not have it, ask whoever gave you the code.",
    _LOCK,
)
UNAVAILABLE = Text(
    "Please try again in a moment",
    "We cannot look up this code right now. Your phone is fine, and so is the code.",
    "If this goes on, ask whoever put up the code.",
    _AGAIN,
)
OPENS_ON, OPENS_THEN = "It opens on", "Scan it again then."
TRY_AGAIN = "Try again"
PASSWORD, CONTINUE = "Password", "Continue"
PROBLEMS = {
    "wrong": "That password is not right. Please try again.",
    "too_many": "There were too many tries. Please wait a minute, then try again.",
}
SHORT_UNKNOWN = b"We do not know this code. Ask whoever put it up.\n"
