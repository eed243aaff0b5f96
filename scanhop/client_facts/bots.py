"""Whether a request came from a person with a phone: a verdict with its reason, so that it can be revised.

Programs that fetch a link to show what is behind it, or to look whether it is safe, are told by the names they give
themselves; what only pretends to be a browser is not recognised.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache, lru_cache
from importlib.metadata import version

from scanhop.client_facts.device import CACHED_USER_AGENTS, MAX_USER_AGENT, Device, DeviceType

NAMES_VERSION = 1  # of the names below: count up when they change

_PREFETCH_HEADERS = (b"purpose", b"sec-purpose", b"x-purpose", b"x-moz")
_PREFETCH_WORDS = (b"prefetch", b"preview", b"prerender")

_LINK_PREVIEWS = re.compile(
    rb"^whatsapp/|facebookexternalhit|facebot|twitterbot|slackbot|slack-imgproxy|telegrambot|discordbot|linkedinbot"
    rb"|skypeuripreview|kakaotalk-scrap|snap url preview|redditbot|pinterestbot|embedly|iframely|bitlybot|vkshare"
    rb"|^mastodon/|^synapse |cardyb|bingpreview|microsoftpreview|meta-externalfetcher|facebookcatalog"
)
_MAIL_GATEWAYS = re.compile(
    rb"googleimageproxy|yahoomailproxy|barracuda|mimecast|proofpoint|microsoft office existence discovery"
)
_CRAWLERS = re.compile(rb"headlesschrome|chrome-lighthouse|phantomjs|zgrab")  # beside those that ua-parser knows


class BotReason(StrEnum):
    """A closed list; the values are what ClickHouse stores. NONE: taken for a person."""

    NONE = ""
    CRAWLER = "crawler"
    PREFETCH = "prefetch"
    LINK_PREVIEW = "link_preview"
    MAIL_GATEWAY = "mail_gateway"


@cache
def list_version() -> str:
    """By what verdicts are given: these names, and the crawlers that ua-parser knows."""
    return f"{NAMES_VERSION}-{version('ua-parser-builtins')}"


def judge(device: Device, headers: Mapping[bytes, bytes]) -> BotReason:
    """`headers` by lower-case name. What a request says of itself goes before what its User-Agent is known for."""
    return BotReason.PREFETCH if asks_ahead(headers) else judge_name(device, headers.get(b"user-agent", b""))


def asks_ahead(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser says that nobody has asked for this yet."""
    return any(_says_so(headers[name]) for name in _PREFETCH_HEADERS if name in headers)


def judge_name(device: Device, user_agent: bytes) -> BotReason:
    """What the program is known for, whatever it asks for."""
    named = _reason_by_name(user_agent[:MAX_USER_AGENT])
    if named is BotReason.NONE and device.device_type is DeviceType.BOT:
        return BotReason.CRAWLER
    return named


@lru_cache(CACHED_USER_AGENTS)
def _reason_by_name(user_agent: bytes) -> BotReason:
    lowered = user_agent.lower()
    if _LINK_PREVIEWS.search(lowered):
        return BotReason.LINK_PREVIEW
    if _MAIL_GATEWAYS.search(lowered):
        return BotReason.MAIL_GATEWAY
    return BotReason.CRAWLER if _CRAWLERS.search(lowered) else BotReason.NONE


def _says_so(value: bytes) -> bool:
    lowered = value.lower()
    return any(word in lowered for word in _PREFETCH_WORDS)
