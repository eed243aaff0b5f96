"""What a change makes of a code."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest

from control_api.qr_codes import password
from control_api.qr_codes.model import Change, NewQrCode, QrCode
from control_api.qr_codes.password import MEMORY_KIB, PasswordMill, hash_password, parse_password
from control_api.qr_codes.schemas import QrCodeChange
from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind

NOW = datetime(2026, 11, 1, tzinfo=UTC)
CODE = QrCode(
    id=UUID(int=1),
    workspace_id=UUID(int=2),
    project_id=None,
    domain=None,
    name="Menu",
    type="url",
    short_code="menu",
    target_url="https://example.com/",
    fallback_url="https://example.com/closed",
    status="active",
    redirect_status=302,
    forward_query=False,
    rules=[],
    starts_at=None,
    expires_at=NOW,
    max_scans=None,
    has_password=True,
    tags=[],
    design={},
    type_data={"a": [1]},
    ban_reason=None,
    ban_note=None,
    version=3,
    created_at=NOW,
    updated_at=NOW,
)


@pytest.mark.parametrize(
    ("body", "is_visible"),
    [
        ({"name": "Menu"}, False),
        ({"name": "Carte"}, True),
        ({"fallback_url": "https://example.com/closed"}, False),
        ({"fallback_url": None}, True),
        ({"max_scans": None, "starts_at": None, "rules": None}, False),
        ({"expires_at": "2026-11-01T01:00:00+01:00"}, False),
        ({"expires_at": None}, True),
        ({"forward_query": True}, True),
        ({"type_data": {"a": [1]}}, False),
        ({"type_data": {"a": [True]}}, True),
        ({"password": "the same, perhaps"}, True),
        ({"password": None}, True),
    ],
)
def test_a_change_is_visible_when_something_would_differ(body, is_visible):
    change = QrCodeChange.model_validate(body).to_model()
    assert change.is_visible_in(CODE) is is_visible


def test_a_change_touches_only_what_it_names():
    changed = QrCodeChange.model_validate({"password": None, "tags": ["a"]}).to_model().applied_to(CODE)
    assert (changed.has_password, changed.tags) == (False, ["a"])
    assert (changed.name, changed.expires_at, changed.version) == ("Menu", NOW, 3)


def test_a_password_is_in_no_representation():
    change = QrCodeChange.model_validate({"password": "open sesame"}).to_model()
    new = NewQrCode("n", "url", "https://example.com/", password="open sesame")
    assert "sesame" not in f"{change!r} {new!r}"
    assert isinstance(change, Change)


@pytest.mark.parametrize("text", ["", "a" * 129, "\U0001f511" * 65, "a\x00", "a\r\n", "\x7f"])
def test_passwords_that_no_form_could_send_are_refused(text):
    with pytest.raises(ValueError, match="must"):
        parse_password(text)


def test_two_hashes_of_a_password_differ_and_say_how_they_were_made():
    first, second = hash_password("a"), hash_password("a")
    assert first != second
    assert first.startswith(f"$argon2id$v=19$m={MEMORY_KIB},t=2,p=1$")


async def test_a_single_password_does_not_wait_for_a_thousand_others():
    mill = PasswordMill(at_once=2)
    many = asyncio.create_task(mill.hash_many(["a", None] * 20))
    await asyncio.sleep(0.01)  # all that it asks for at once is asked for
    [alone] = await mill.hash_many(["b"])
    assert alone is not None
    assert not many.done()
    hashes = await many
    assert [each is not None for each in hashes] == [True, False] * 20


async def test_when_many_passwords_wait_the_next_ones_are_told_to_come_again(monkeypatch):
    """Whoever has an idempotency key waits with a connection in hand, of which there are few."""
    monkeypatch.setattr(password, "MAX_WAITING", 10)
    mill = PasswordMill(at_once=1)
    many = asyncio.create_task(mill.hash_many(["a", None] * 9))
    await asyncio.sleep(0.01)
    with pytest.raises(Problem) as refused:
        await mill.hash_many(["b"] * 2)
    assert (refused.value.kind, refused.value.headers["Retry-After"]) == (ProblemKind.PASSWORDS_BUSY, "1")
    assert await mill.hash_many([None] * 20) == [None] * 20
    assert None not in await mill.hash_many(["one that waits for few"])
    await many
    assert None not in await mill.hash_many(["b"] * 10)
