import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.client_facts.bots import BotReason, judge
from scanhop.client_facts.device import Device, DeviceType

PHONE = Device(DeviceType.MOBILE, "iOS", "Mobile Safari")
CRAWLER = Device(DeviceType.BOT, "Other", "Googlebot")


@pytest.mark.parametrize("device_type", [kind for kind in DeviceType if kind is not DeviceType.BOT])
def test_any_device_but_a_bot_is_taken_for_a_person(device_type):
    assert judge(Device(device_type, "Other", "Other"), {}) is BotReason.NONE


def test_a_crawler_is_a_bot():
    assert judge(CRAWLER, {}) is BotReason.CRAWLER


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"purpose", b"prefetch"),
        (b"purpose", b"preview"),
        (b"x-purpose", b"preview"),
        (b"x-moz", b"prefetch"),
        (b"sec-purpose", b"prefetch"),
        (b"sec-purpose", b"prefetch;prerender"),
        (b"sec-purpose", b"Prefetch;anonymous-client-ip"),
        (b"sec-purpose", b"prerender"),
    ],
)
def test_a_browser_that_asks_ahead_is_no_scan(name, value):
    assert judge(PHONE, {name: value}) is BotReason.PREFETCH


@pytest.mark.parametrize("value", [b"", b"fetch", b"pre-fetch", b"\xff"])
def test_another_purpose_is_a_scan(value):
    assert judge(PHONE, {b"purpose": value}) is BotReason.NONE


def test_a_header_that_is_no_purpose_is_not_looked_at():
    assert judge(PHONE, {b"referer": b"prefetch"}) is BotReason.NONE


def test_a_crawler_that_asks_ahead_is_counted_as_asking_ahead():
    assert judge(CRAWLER, {b"purpose": b"prefetch"}) is BotReason.PREFETCH


@given(st.sampled_from([PHONE, CRAWLER]), st.dictionaries(st.sampled_from([b"purpose", b"x-moz"]), st.binary()))
def test_any_header_bytes_have_a_verdict(device, headers):
    assert judge(device, headers) in BotReason


def test_the_names_of_reasons_never_change():
    assert sorted(BotReason) == ["", "crawler", "prefetch"]
