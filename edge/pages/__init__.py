"""The pages a phone sees when there is nowhere to send it: small, self-contained, the same for every code.

Each is below 4 kB and complete: no script, nothing to fetch, no link to anywhere else; the banned page has no link at
all. Text and borders stand out by day and by night whatever the brand's colour is (see contrast.py). The style is
allowed by its hash, and the brand's colour is part of it: a page is sent with a policy of the Pages it came from.
The template is read when Pages are built; nothing can fail later.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from importlib.resources import files
from string import Template

from edge.pages import texts
from edge.pages.contrast import set_off, text_on
from edge.pages.texts import Text
from scanhop.wire.scan_record import Outcome

MAX_PASSWORD = 256  # characters

_LIGHT = {"paper": "#ffffff", "ink": "#1b1f24", "soft": "#57606a", "alert": "#b3261e"}
_DARK = {"paper": "#14171a", "ink": "#eceef0", "soft": "#a8b0b8", "alert": "#ffb4ab"}
_TRY_AGAIN = f'<a href="">{texts.TRY_AGAIN}</a>\n'
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_NS = 60_000_000_000


@dataclass(frozen=True)
class Brand:
    """Whose pages they are: a name in plain text, a colour as `#rrggbb`. Without them the pages are neutral."""

    name: str | None = None
    color: str | None = None


class Pages:
    """The pages of one brand, and the policies they are sent with. What is always the same is rendered once."""

    def __init__(self, brand: Brand) -> None:
        self._template = Template(files("edge.pages").joinpath("page.html").read_text("utf-8"))
        self._brand = {"header": _header(brand.name)} | _palette(brand.color)
        self._notices = {outcome: self._notice(text) for outcome, text in texts.TEXTS.items()}
        self._banned_by_law = self._notice(texts.BANNED_BY_LAW)
        problems = (None, *texts.PROBLEMS)
        self._locked = {
            problem: self._render(texts.LOCKED, _paragraphs_of(texts.LOCKED) + _form(problem)) for problem in problems
        }
        self._unavailable = self._render(texts.UNAVAILABLE, _paragraphs_of(texts.UNAVAILABLE) + _TRY_AGAIN)
        style = _hash_of_style(self._unavailable)
        self.content_security_policy = _policy(style, "'none'")
        # Chromium holds the redirects behind a form to form-action as well, and a code may lead to any site.
        self.locked_security_policy = _policy(style, "http: https:")

    def of(self, outcome: Outcome, *, opens_at_ns: int | None = None) -> bytes:
        """`opens_at_ns`: Unix nanoseconds, for NOT_YET. Raises KeyError for an outcome that is no page."""
        if outcome is Outcome.LOCKED:
            return self.locked(None)
        if outcome is Outcome.NOT_YET and opens_at_ns is not None:
            return self._render(texts.TEXTS[outcome], _opening(opens_at_ns))
        return self._notices[outcome]

    def banned(self, is_legal: bool) -> bytes:
        return self._banned_by_law if is_legal else self._notices[Outcome.BANNED]

    def locked(self, problem: str | None) -> bytes:
        """The form that asks for the password. `problem` is what was wrong with the last try: a key of PROBLEMS."""
        return self._locked[problem]

    def unavailable(self) -> bytes:
        return self._unavailable

    def short_unknown(self) -> bytes:
        """Plain text, for a client that keeps asking for codes that do not exist."""
        return texts.SHORT_UNKNOWN

    def _notice(self, text: Text) -> bytes:
        return self._render(text, _paragraphs_of(text))

    def _render(self, text: Text, content: str) -> bytes:
        page = self._template.substitute(
            self._brand, heading=escape(text.heading), symbol=text.symbol, content=content
        )
        return page.encode()


def _header(name: str | None) -> str:
    return "" if name is None else f'<header dir="auto">{escape(name)}</header>\n'


def _paragraphs_of(text: Text) -> str:
    return _paragraphs(escape(text.happened), text.then)


def _paragraphs(happened: str, then: str) -> str:
    return f'<p>{happened}</p>\n<p class="then">{escape(then)}</p>\n'


def _opening(opens_at_ns: int) -> str:
    """Rounded up to a minute, so that nobody comes too early."""
    at = _EPOCH + timedelta(minutes=-(-opens_at_ns // _MINUTE_NS))
    when = f'<time datetime="{at:%Y-%m-%dT%H:%MZ}">{at.day}&#160;{at:%B}&#160;{at.year} at {at:%H:%M}&#160;UTC</time>'
    return _paragraphs(f"{texts.OPENS_ON} {when}.", texts.OPENS_THEN)


def _form(problem: str | None) -> str:
    """It is sent to the address of the page."""
    alert = f'<p id="problem" role="alert">{escape(texts.PROBLEMS[problem])}</p>\n' if problem else ""
    described = ' aria-describedby="problem"' if problem else ""
    return (
        f'<form method="post">\n{alert}<label for="password">{texts.PASSWORD}</label>\n'
        '<input id="password" name="password" type="password" autocomplete="current-password"'
        f' maxlength="{MAX_PASSWORD}" required="" autofocus=""{described}/>\n'
        f"<button>{texts.CONTINUE}</button>\n</form>\n"
    )


def _palette(color: str | None) -> dict[str, str]:
    """The values of the style's variables."""
    return _scheme("light", _LIGHT, color) | _scheme("dark", _DARK, color)


def _scheme(name: str, colors: dict[str, str], brand: str | None) -> dict[str, str]:
    accent = brand or colors["ink"]
    derived = {"accent": accent, "on": text_on(accent), "line": set_off(accent, colors["paper"])}
    return {f"{name}_{part}": color for part, color in (colors | derived).items()}


def _hash_of_style(page: bytes) -> str:
    style = page.partition(b"<style>")[2].partition(b"</style>")[0]
    return "sha256-" + base64.b64encode(hashlib.sha256(style).digest()).decode()


def _policy(style: str, form_action: str) -> str:
    return (
        f"default-src 'none'; style-src '{style}'; base-uri 'none'; frame-ancestors 'none'; form-action {form_action}"
    )
