"""The language a client asks for first: primary subtag of the best range in Accept-Language (RFC 9110, 12.5.4)."""

from functools import lru_cache


@lru_cache(4096)
def first_language(accept_language: bytes) -> str:
    """Lower case, such as "de"; empty when nothing usable is asked for."""
    best, best_weight = "", 0.0
    for part in accept_language.decode("latin-1").split(",")[:32]:
        tag, _, parameters = part.partition(";")
        primary = tag.strip().partition("-")[0].lower()
        weight = _weight(parameters)
        if weight > best_weight and 2 <= len(primary) <= 3 and primary.isascii() and primary.isalpha():
            best, best_weight = primary, weight
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
