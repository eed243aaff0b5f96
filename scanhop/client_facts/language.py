"""The languages a client asks for: Accept-Language (RFC 9110, 12.5.4)."""

import re
from functools import lru_cache

MAX_LANGUAGES = 32
_TAG = re.compile(r"[a-z]{1,8}(?:-[a-z0-9]{1,8}){0,7}", re.ASCII)


@lru_cache(4096)
def first_language(accept_language: bytes) -> str:
    """Primary subtag of the best range, lower case, such as "de"; empty when nothing usable is asked for."""
    best, best_weight = "", 0.0
    for tag, weight in _asked_for(accept_language):
        primary = tag.partition("-")[0]
        if weight > best_weight and 2 <= len(primary) <= 3 and primary.isascii() and primary.isalpha():
            best, best_weight = primary, weight
    return best


@lru_cache(4096)
def ranked_languages(accept_language: bytes) -> tuple[tuple[str, float], ...]:
    """Tags in lower case with their weights, such as ("de-at", 1.0), best first; of equal ones the one asked first.

    What is refused (a weight of 0), "*" and what is no language tag are left out.
    """
    usable = [(tag, weight) for tag, weight in _asked_for(accept_language) if weight > 0.0 and _TAG.fullmatch(tag)]
    return tuple(sorted(usable, key=lambda asked: -asked[1]))


def _asked_for(accept_language: bytes) -> list[tuple[str, float]]:
    asked = []
    for part in accept_language.decode("latin-1").split(",")[:MAX_LANGUAGES]:
        tag, _, parameters = part.partition(";")
        asked.append((tag.strip().lower(), _weight(parameters)))
    return asked


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
