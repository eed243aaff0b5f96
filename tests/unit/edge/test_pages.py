import base64
import hashlib
import re
from datetime import UTC, datetime
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.pages import Brand, Pages
from edge.pages.contrast import SHAPE_RATIO, TEXT_RATIO, contrast, set_off, text_on
from edge.pages.texts import PROBLEMS
from scanhop.wire.scan_record import Outcome

NOON_NS = int(datetime(2026, 11, 5, 12, tzinfo=UTC).timestamp()) * 1_000_000_000
PLAIN = Pages(Brand())
WORST = Pages(Brand('"' * 60, "#808080"))
NOTICES = (
    Outcome.UNKNOWN,
    Outcome.DELETED,
    Outcome.BANNED,
    Outcome.PAUSED,
    Outcome.NOT_YET,
    Outcome.EXPIRED,
    Outcome.LIMIT,
)
COLORS = st.integers(0, 0xFFFFFF).map("#{:06x}".format)


def all_of(pages: Pages) -> dict[str, bytes]:
    return {
        **{outcome.label: pages.of(outcome) for outcome in NOTICES},
        "opens": pages.of(Outcome.NOT_YET, opens_at_ns=NOON_NS),
        "banned_by_law": pages.banned(is_legal=True),
        "locked": pages.locked(None),
        **{problem: pages.locked(problem) for problem in PROBLEMS},
        "unavailable": pages.unavailable(),
    }


ALL = [
    pytest.param(page, id=f"{name}{'_branded' * is_branded}")
    for is_branded, pages in enumerate((PLAIN, WORST))
    for name, page in all_of(pages).items()
]


def tree_of(page: bytes) -> ET.Element:
    """Of a page that is well-formed as XML too."""
    return ET.fromstring(page.decode().removeprefix("<!DOCTYPE html>"))  # noqa: S314 - our own


def words_of(page: bytes) -> str:
    body = tree_of(page).find("body")
    assert body is not None
    return " ".join("".join(body.itertext()).split())


def variables_of(page: bytes) -> dict[str, dict[str, str]]:
    """The colours of the light and of the dark scheme."""
    schemes = re.findall(r":root\{(.*?)\}", page.decode(), re.DOTALL)
    return {
        name: dict(re.findall(r"--(\w+):(#[0-9a-fA-F]{6})", scheme))
        for name, scheme in zip(("light", "dark"), schemes, strict=True)
    }


@pytest.mark.parametrize("page", ALL)
def test_a_page_is_small(page):
    assert len(page) < 4096


@pytest.mark.parametrize("page", ALL)
def test_a_page_is_a_complete_document(page):
    tree = tree_of(page)
    assert page.startswith(b"<!DOCTYPE html>\n")
    assert tree.get("lang") == "en"
    assert tree.findtext("head/title")
    metas = {meta.get("name"): meta.get("content") for meta in tree.iterfind("head/meta")}
    assert metas["viewport"] == "width=device-width,initial-scale=1"
    assert metas["robots"] == "noindex"
    assert metas["color-scheme"] == "light dark"
    assert len(tree.findall(".//main")) == 1
    assert [heading.text for heading in tree.iterfind(".//h1")] == [tree.findtext("head/title")]


@pytest.mark.parametrize("page", ALL)
def test_a_page_fetches_nothing_runs_nothing_and_leads_nowhere_else(page):
    tree = tree_of(page)
    attributes = {name for element in tree.iter() for name in element.attrib}
    assert not attributes & {"src", "srcset", "style", "action", "background", "data"}
    assert not any(name.startswith("on") for name in attributes)
    assert not {element.tag for element in tree.iter()} & {"script", "link", "img", "iframe", "object", "base"}
    assert not re.search(rb"https?:|//|url\(|@import", page)
    assert {element.get("href") for element in tree.iter("a")} <= {""}


@pytest.mark.parametrize("is_legal", [False, True])
def test_the_banned_page_has_no_link(is_legal):
    tree = tree_of(PLAIN.banned(is_legal))
    assert not {element.tag for element in tree.iter()} & {"a", "form", "button"}


def test_each_page_says_something_of_its_own():
    pages = all_of(PLAIN).values()
    assert len({words_of(page) for page in pages}) == len(pages)


def test_the_answer_to_a_ban_is_that_of_an_ordinary_one_unless_it_is_legal():
    assert PLAIN.of(Outcome.BANNED) == PLAIN.banned(is_legal=False) != PLAIN.banned(is_legal=True)


@pytest.mark.parametrize("outcome", [*NOTICES, Outcome.LOCKED])
def test_a_page_that_is_always_the_same_is_rendered_once(outcome):
    assert PLAIN.of(outcome) is PLAIN.of(outcome)


@pytest.mark.parametrize("outcome", [Outcome.REDIRECT, Outcome.HEAD])
def test_an_outcome_that_is_no_page_has_none(outcome):
    with pytest.raises(KeyError):
        PLAIN.of(outcome)


def test_a_page_says_when_its_code_opens():
    page = PLAIN.of(Outcome.NOT_YET, opens_at_ns=NOON_NS)
    assert "It opens on 5 November 2026 at 12:00 UTC. Scan it again then." in words_of(page)
    assert [at.get("datetime") for at in tree_of(page).iter("time")] == ["2026-11-05T12:00Z"]


@pytest.mark.parametrize(("later_ns", "shown"), [(1, "12:01"), (59_999_999_999, "12:01"), (60_000_000_000, "12:01")])
def test_nobody_is_told_to_come_before_a_code_opens(later_ns, shown):
    assert f"at {shown} UTC" in words_of(PLAIN.of(Outcome.NOT_YET, opens_at_ns=NOON_NS + later_ns))


def test_the_last_time_that_a_route_can_hold_has_a_page():
    assert "2262" in words_of(PLAIN.of(Outcome.NOT_YET, opens_at_ns=2**63 - 1))


@pytest.mark.parametrize("problem", [None, *PROBLEMS])
def test_the_form_posts_one_password_to_the_address_of_the_page(problem):
    tree = tree_of(PLAIN.locked(problem))
    (form,) = tree.iter("form")
    assert form.attrib == {"method": "post"}
    (field,) = form.iter("input")
    assert (field.get("name"), field.get("type")) == ("password", "password")
    assert (field.get("autocomplete"), field.get("maxlength")) == ("current-password", "256")
    assert [label.get("for") for label in form.iter("label")] == [field.get("id")]
    assert len(list(form.iter("button"))) == 1


@pytest.mark.parametrize(("problem", "said"), [("wrong", "not right"), ("too_many", "wait a minute")])
def test_a_failed_try_is_announced_and_belongs_to_the_field(problem, said):
    tree = tree_of(PLAIN.locked(problem))
    (alert,) = tree.iterfind(".//*[@role='alert']")
    assert said in (alert.text or "")
    assert tree.find(".//input").get("aria-describedby") == alert.get("id")


def test_the_first_visit_sees_no_alert():
    assert b'alert"' not in PLAIN.locked(None)
    assert PLAIN.locked(None) == PLAIN.of(Outcome.LOCKED)


def test_the_short_answer_is_short_and_plain():
    assert len(PLAIN.short_unknown()) <= 120
    assert b"<" not in PLAIN.short_unknown()
    assert PLAIN.short_unknown().isascii()


def test_without_a_brand_a_page_names_nobody():
    for page in all_of(PLAIN).values():
        assert tree_of(page).find(".//header") is None
        assert b"scanhop" not in page.lower()


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cn"]), min_size=1, max_size=60))
def test_any_name_is_shown_as_it_is(name):
    for page in all_of(Pages(Brand(name))).values():
        assert tree_of(page).findtext("body/header") == name


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "A & B", "\"'", "$heading ${content} $$", "</header>"])
def test_a_name_is_text_and_nothing_else(name):
    tree = tree_of(Pages(Brand(name)).unavailable())
    assert tree.findtext("body/header") == name
    assert [child.tag for child in tree.find("body")] == ["header", "main"]


def test_the_colour_of_the_brand_is_used_as_it_is():
    for scheme in variables_of(Pages(Brand(color="#0a7d55")).unavailable()).values():
        assert scheme["accent"] == "#0a7d55"


def assert_legible(page: bytes) -> None:
    for scheme in variables_of(page).values():
        for text in ("ink", "soft", "alert"):
            assert contrast(scheme[text], scheme["paper"]) >= TEXT_RATIO
        assert contrast(scheme["on"], scheme["accent"]) >= TEXT_RATIO
        assert contrast(scheme["line"], scheme["paper"]) >= SHAPE_RATIO


def test_the_neutral_pages_are_legible_by_day_and_by_night():
    assert_legible(PLAIN.unavailable())


@given(COLORS)
def test_every_colour_of_a_brand_stays_legible_by_day_and_by_night(color):
    assert_legible(Pages(Brand(color=color)).unavailable())


def test_every_colour_that_a_page_uses_is_one_of_the_checked():
    style = tree_of(PLAIN.locked(None)).findtext("head/style")
    rules = re.sub(r":root\{.*?\}", "", style, flags=re.DOTALL)
    assert "#" not in rules
    assert set(re.findall(r"var\(--(\w+)\)", rules)) == {"paper", "ink", "soft", "alert", "accent", "on", "line"}


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=0.001)
    assert contrast("#ff0000", "#ffffff") == pytest.approx(3.998, abs=0.001)
    assert contrast("#0a7d55", "#0a7d55") == 1


@given(COLORS, COLORS)
def test_contrast_does_not_depend_on_which_colour_comes_first(one, other):
    assert contrast(one, other) == contrast(other, one) >= 1


@given(COLORS)
def test_black_or_white_can_be_read_on_any_colour(color):
    assert contrast(text_on(color), color) >= 4.58


@given(COLORS, COLORS)
def test_a_colour_can_be_set_off_from_any_background_and_stays_if_it_stands_out(color, background):
    assert contrast(set_off(color, background), background) >= SHAPE_RATIO
    if contrast(color, background) >= SHAPE_RATIO:
        assert set_off(color, background) == color


@pytest.mark.parametrize("pages", [PLAIN, WORST])
def test_the_policies_allow_the_style_of_every_page_and_nothing_else(pages):
    hashes = {
        base64.b64encode(hashlib.sha256(page.split(b"<style>")[1].split(b"</style>")[0]).digest()).decode()
        for page in all_of(pages).values()
    }
    (style,) = hashes
    rest = "base-uri 'none'; frame-ancestors 'none'; form-action"
    start = f"default-src 'none'; style-src 'sha256-{style}'; {rest}"
    assert pages.content_security_policy == f"{start} 'none'"
    assert pages.locked_security_policy == f"{start} http: https:"


def test_pages_of_two_colours_need_two_policies():
    policies = [Pages(Brand(color=color)).content_security_policy for color in (None, "#0a7d55", "#0a7d56")]
    assert all(one != other for one, other in combinations(policies, 2))
