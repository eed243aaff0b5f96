import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.client_facts.bots import BotReason, judge, list_version
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
    assert sorted(BotReason) == ["", "crawler", "link_preview", "mail_gateway", "prefetch"]


@pytest.mark.parametrize(
    "user_agent",
    [
        b"WhatsApp/2.23.20.0 A",
        b"Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        b"Slack-ImgProxy (+https://api.slack.com/robots)",
        b"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        b"Mozilla/5.0 (Macintosh) AppleWebKit/601.2.4 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
        b"Twitterbot/1.0",
        b"TelegramBot (like TwitterBot)",
        b"Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
        b"LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
        b"Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
        b"Mastodon/4.3.0 (http.rb/5.2.0; +https://mastodon.example/) Bot",
        b"Synapse (bot; +https://github.com/matrix-org/synapse)",
        b"Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b",
        b"Mozilla/5.0 (compatible; MicrosoftPreview/2.0; +https://aka.ms/MicrosoftPreview)",
        b"meta-externalfetcher/1.1",
    ],
)
@pytest.mark.parametrize("device", [PHONE, CRAWLER])
def test_who_shows_what_is_behind_a_link_is_a_link_preview(device, user_agent):
    for spelling in (user_agent, user_agent.upper()):
        assert judge(device, {b"user-agent": spelling}) is BotReason.LINK_PREVIEW


@pytest.mark.parametrize(
    "user_agent",
    [
        b"Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        b"YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
        b"Barracuda Sentinel (EE)",
        b"Microsoft Office Existence Discovery",
    ],
)
def test_who_looks_whether_a_link_in_a_mail_is_safe_is_a_mail_gateway(user_agent):
    assert judge(PHONE, {b"user-agent": user_agent}) is BotReason.MAIL_GATEWAY


@pytest.mark.parametrize(
    "user_agent",
    [
        b"",
        b"curl/8.7.1",
        b"python-requests/2.31",
        b"okhttp/4.9",
        b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Instagram 330.0",
        b"Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/125.0 Mobile Safari/537.36 [FB_IAB/FB4A]",
        b"Mozilla/5.0 (Linux; Android 14) Chrome/125.0 Mobile Safari/537.36 com.whatsapp/2.24",
    ],
)
def test_programs_that_people_use_and_browsers_inside_apps_are_not_told_by_name(user_agent):
    assert judge(PHONE, {b"user-agent": user_agent}) is BotReason.NONE


@pytest.mark.parametrize(
    "user_agent",
    [
        b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/120.0.0.0 Safari/537.36",
        b"Mozilla/5.0 (Linux; Android 11) AppleWebKit/537.36 Chrome/109.0 Mobile Safari/537.36 Chrome-Lighthouse",
        b"Mozilla/5.0 zgrab/0.x",
    ],
)
def test_a_browser_without_a_person_is_a_crawler(user_agent):
    assert judge(PHONE, {b"user-agent": user_agent}) is BotReason.CRAWLER


def test_the_version_of_the_lists_names_ours_and_that_of_the_library():
    assert re.fullmatch(r"\d+-\d+", list_version())


def test_a_link_preview_that_asks_ahead_is_counted_as_asking_ahead():
    headers = {b"user-agent": b"Twitterbot/1.0", b"sec-purpose": b"prefetch"}
    assert judge(CRAWLER, headers) is BotReason.PREFETCH


@given(st.binary())
def test_any_user_agent_has_a_verdict(user_agent):
    assert judge(PHONE, {b"user-agent": user_agent}) in BotReason
