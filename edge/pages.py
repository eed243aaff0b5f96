"""The pages a phone sees when there is nowhere to send it: small, self-contained, the same for every code."""

from html import escape
from string import Template

from scanhop.wire.scan_record import Outcome

CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex">
<title>$title</title>
<style>
:root{color-scheme:light dark}
body{margin:0;min-height:100vh;display:grid;place-content:center;padding:2rem;box-sizing:border-box;
font:1.0625rem/1.5 system-ui,sans-serif;text-align:center}
h1{font-size:1.5rem;margin:0 0 .5rem}
p{margin:0;max-width:32ch;opacity:.8}
</style>
<main>
<h1>$title</h1>
<p>$text</p>
</main>
</html>
""")

_TEXTS = {
    Outcome.UNKNOWN: ("Unknown code", "This code does not exist. It may have been misprinted or misread."),
    Outcome.DELETED: ("Code deleted", "The owner of this code has deleted it."),
    Outcome.BANNED: ("Code blocked", "This code has been blocked and leads nowhere."),
    Outcome.PAUSED: ("Code paused", "The owner of this code has paused it. Try again later."),
    Outcome.NOT_YET: ("Not open yet", "This code is not open yet. Try again later."),
    Outcome.EXPIRED: ("Code expired", "This code is no longer in use."),
}


def _render(title: str, text: str) -> bytes:
    return _PAGE.substitute(title=escape(title), text=escape(text)).encode()


PAGES = {outcome: _render(*texts) for outcome, texts in _TEXTS.items()}
UNAVAILABLE_PAGE = _render("Try again in a moment", "This code cannot be looked up right now.")
