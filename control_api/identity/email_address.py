"""E-mail addresses: their form is checked, whether somebody reads them is not.

The form is the one that browsers accept in a form (HTML Living Standard, "valid e-mail address"), with the lengths
of RFC 5321. Domains that only a private network knows are fine: Scanhop is self-hosted. An international domain is
written in its ASCII form.
"""

import re

MAX_LENGTH = 254

_LOCAL = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_FORM = rf"{_LOCAL}@{_LABEL}(?:\.{_LABEL})*"
_ADDRESS = re.compile(_FORM)
PATTERN = rf"^\s*{_FORM}\s*$"  # for the document: what `parse_email` takes


def parse_email(text: str) -> str:
    """The address without outer white space. Raises ValueError."""
    address = text.strip()
    if len(address) > MAX_LENGTH or not _ADDRESS.fullmatch(address):
        raise ValueError("is no e-mail address")
    return address
