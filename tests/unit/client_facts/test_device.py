import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.client_facts.device import CACHED_USER_AGENTS, MAX_USER_AGENT, Device, DeviceReader, DeviceType

READER = DeviceReader()
ANOTHER_READER = DeviceReader()

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
IPAD = (
    "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/16.6 Mobile/15E148 Safari/604.1"
)
ANDROID_PHONE = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/125.0.0.0 Mobile Safari/537.36"
)
REDUCED_ANDROID_PHONE = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Mobile Safari/537.36"
)
ANDROID_TABLET = (
    "Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36"
)
SAMSUNG_BROWSER = (
    "Mozilla/5.0 (Linux; Android 14; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) "
    "SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36"
)
WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36"
)
EDGE = WINDOWS + " Edg/125.0.0.0"
MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Safari/605.1.15"
)
LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
GOOGLEBOT_ON_A_PHONE = (
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/125.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
)
BINGBOT = "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"
PREVIEW = "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"
TWITTERBOT = "Twitterbot/1.0"
SLACKBOT = "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"


@pytest.mark.parametrize(
    ("user_agent", "device_type", "os", "browser"),
    [
        (IPHONE, DeviceType.MOBILE, "iOS", "Mobile Safari"),
        (IPAD, DeviceType.TABLET, "iOS", "Mobile Safari"),
        (ANDROID_PHONE, DeviceType.MOBILE, "Android", "Chrome Mobile"),
        (REDUCED_ANDROID_PHONE, DeviceType.MOBILE, "Android", "Chrome Mobile"),
        (ANDROID_TABLET, DeviceType.TABLET, "Android", "Chrome"),
        (SAMSUNG_BROWSER, DeviceType.MOBILE, "Android", "Samsung Internet"),
        (WINDOWS, DeviceType.DESKTOP, "Windows", "Chrome"),
        (EDGE, DeviceType.DESKTOP, "Windows", "Edge"),
        (MAC, DeviceType.DESKTOP, "Mac OS X", "Safari"),
        (LINUX, DeviceType.DESKTOP, "Linux", "Firefox"),
        (GOOGLEBOT, DeviceType.BOT, "Other", "Googlebot"),
        (GOOGLEBOT_ON_A_PHONE, DeviceType.BOT, "Android", "Googlebot"),
        (BINGBOT, DeviceType.BOT, "Other", "bingbot"),
        (PREVIEW, DeviceType.BOT, "Other", "FacebookBot"),
        (TWITTERBOT, DeviceType.BOT, "Other", "Twitterbot"),
        (SLACKBOT, DeviceType.BOT, "Other", "Slackbot-LinkExpanding"),
        ("curl/8.7.1", DeviceType.OTHER, "Other", "curl"),
        ("", DeviceType.OTHER, "Other", "Other"),
        ("-", DeviceType.OTHER, "Other", "Other"),
        ("\0\x01\x7f\xff", DeviceType.OTHER, "Other", "Other"),
    ],
)
def test_a_user_agent_says_device_system_and_browser(user_agent, device_type, os, browser):
    assert READER.read(user_agent) == Device(device_type, os, browser)


def test_only_the_beginning_of_a_user_agent_is_read():
    assert READER.read(IPHONE.ljust(MAX_USER_AGENT) + "Googlebot") == READER.read(IPHONE)


@pytest.mark.parametrize("piece", ["a", "(", "Android ", "Mozilla/5.0 (", "1.", ";", "\x00", "\xff"])
def test_a_user_agent_of_a_hundred_kilobytes_is_read_like_any_other(piece):
    assert isinstance(READER.read(piece * (100_000 // len(piece))), Device)


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_any_text_is_some_device_and_always_the_same(user_agent):
    device = READER.read(user_agent)
    assert device.device_type in DeviceType
    assert ANOTHER_READER.read(user_agent) == device


@given(st.lists(st.sampled_from([IPHONE[:40], "iPad", "Android", "Mobile", "bot", "Windows NT", " ", ";", "/1.0"])))
def test_parts_of_user_agents_in_any_order_are_some_device(parts):
    assert isinstance(READER.read("".join(parts)), Device)


def test_user_agents_are_remembered_within_a_bound():
    reader = DeviceReader()
    reader.read(IPHONE)
    reader.read(IPHONE)
    assert reader.read.cache_info().hits == 1
    assert reader.read.cache_info().maxsize == CACHED_USER_AGENTS


def test_the_names_of_device_types_never_change():
    assert sorted(DeviceType) == ["bot", "desktop", "mobile", "other", "tablet"]


@pytest.mark.parametrize("user_agent", ["philpodder/1.2.\u00b2", "cf/1.2.\u00b2", "Mozilla/5.0 (Windows NT \u00b2)"])
def test_a_version_of_digits_that_are_no_numbers_is_read_too(user_agent):
    assert DeviceReader().read(user_agent).browser
