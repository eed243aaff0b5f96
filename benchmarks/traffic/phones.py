"""Header blocks as the browsers of phones send them on following a link for the first time: no cookies, no referer.

iOS Safari, Android Chrome and Samsung Internet, and the browsers inside Instagram, Facebook and WeChat. A block has
the order and the spelling of its browser; two blocks differ by versions, models and languages, as they do in the
wild.
"""

import random
from collections.abc import Callable, Sequence

Headers = tuple[tuple[str, str], ...]

LANGUAGES = (
    *("en-US", "en-GB", "de-DE", "de-CH", "de-AT", "fr-FR", "es-ES", "es-MX", "it-IT", "nl-NL", "pl-PL", "pt-BR"),
    *("pt-PT", "sv-SE", "da-DK", "fi-FI", "cs-CZ", "hu-HU", "ro-RO", "tr-TR", "el-GR", "ru-RU", "uk-UA", "ar-SA"),
    *("he-IL", "hi-IN", "th-TH", "vi-VN", "id-ID", "ja-JP", "ko-KR", "zh-CN", "zh-TW"),
)
ANDROID_MODELS = (
    *("SM-S921B", "SM-S918B", "SM-A546B", "SM-G991B", "Pixel 9", "Pixel 8 Pro", "Pixel 7", "2201117TG"),
    *("M2101K6G", "CPH2451", "V2250", "moto g84 5G", "XQ-DQ54", "Nokia G42 5G"),
)
IOS_VERSIONS = (*((major, minor) for major in (15, 16, 17, 18) for minor in range(7)), (26, 0), (26, 1))
IPHONES = ("iPhone12,1", "iPhone13,2", "iPhone14,5", "iPhone15,3", "iPhone16,2", "iPhone17,1")

_HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,"
_SAFARI_ACCEPT = _HTML + "*/*;q=0.8"
_CHROME_ACCEPT = _HTML + "image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
_APPLE_WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_SEC_FETCH = (("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-User", "?1"))


def list_header_blocks(count: int, chance: random.Random) -> list[Headers]:
    """Distinct blocks."""
    found: dict[Headers, None] = {}
    makers, weights = zip(*_FAMILIES, strict=True)
    while len(found) < count:
        found[chance.choices(makers, weights)[0](chance)] = None
    return list(found)


def user_agent(block: Headers) -> str:
    return next(value for name, value in block if name == "User-Agent")


def header_block(user_agent: str, language: str) -> Headers:
    """One block as Safari would send it, by the given user agent."""
    return _safari_like(user_agent, _weighted(language, "en"))


def _safari(chance: random.Random) -> Headers:
    major, minor = chance.choice(IOS_VERSIONS)
    shown = f"{_ios(major, minor)} {_APPLE_WEBKIT} Version/{major}.{minor} Mobile/15E148 Safari/604.1"
    return _safari_like(shown, _apple_languages(chance))


def _chrome(chance: random.Random) -> Headers:
    version, android = chance.randrange(118, 143), chance.randrange(10, 17)
    model = "K" if chance.random() < 0.5 else chance.choice(ANDROID_MODELS)
    shown = (
        f"Mozilla/5.0 (Linux; Android {android}; {model}) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{version}.0.0.0 Mobile Safari/537.36"
    )
    return _chrome_like(
        chance, shown, f'"Chromium";v="{version}", "Google Chrome";v="{version}", "Not_A Brand";v="99"'
    )


def _samsung(chance: random.Random) -> Headers:
    version, chromium = chance.choice(((23, 115), (24, 117), (25, 121), (26, 122), (27, 125), (28, 130)))
    model = chance.choice([model for model in ANDROID_MODELS if model.startswith("SM-")])
    shown = (
        f"Mozilla/5.0 (Linux; Android {chance.randrange(11, 16)}; {model}) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"SamsungBrowser/{version}.0 Chrome/{chromium}.0.0.0 Mobile Safari/537.36"
    )
    brands = f'"Samsung Internet";v="{version}.0", "Not.A/Brand";v="24", "Chromium";v="{chromium}"'
    return _chrome_like(chance, shown, brands)


def _instagram(chance: random.Random) -> Headers:
    major, minor = chance.choice(IOS_VERSIONS)
    language = chance.choice(LANGUAGES)
    shown = (
        f"{_ios(major, minor)} {_APPLE_WEBKIT} Mobile/15E148 Instagram {chance.randrange(300, 400)}.0.0.29.103 "
        f"({chance.choice(IPHONES)}; iOS {major}_{minor}; {language.replace('-', '_')}; {language[:2]}; "
        f"scale=3.00; 1170x2532; {chance.randrange(500_000_000, 700_000_000)})"
    )
    return _safari_like(shown, _weighted(language, language[:2]))


def _facebook(chance: random.Random) -> Headers:
    model, app = chance.choice(ANDROID_MODELS), chance.randrange(450, 530)
    shown = (
        f"Mozilla/5.0 (Linux; Android {chance.randrange(11, 16)}; {model} Build/UP1A.231005.007; wv) "
        f"AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/{chance.randrange(118, 143)}.0.6422.165 "
        f"Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/{app}.0.0.45.109;]"
    )
    block = _chrome_like(chance, shown, '"Chromium";v="125", "Android WebView";v="125", "Not.A/Brand";v="24"')
    return (*block, ("X-Requested-With", "com.facebook.katana"))


def _wechat(chance: random.Random) -> Headers:
    major, minor = chance.choice(IOS_VERSIONS)
    shown = (
        f"{_ios(major, minor)} {_APPLE_WEBKIT} Mobile/15E148 MicroMessenger/8.0.{chance.randrange(30, 60)}"
        f"(0x1800{chance.randrange(0x2000, 0x4000):x}) NetType/{chance.choice(('WIFI', '4G', '5G'))} Language/zh_CN"
    )
    return _safari_like(shown, "zh-CN,zh-Hans;q=0.9")


_FAMILIES: Sequence[tuple[Callable[[random.Random], Headers], float]] = (
    (_safari, 0.42),
    (_chrome, 0.33),
    (_samsung, 0.07),
    (_instagram, 0.08),
    (_facebook, 0.06),
    (_wechat, 0.04),
)


def _safari_like(shown: str, languages: str) -> Headers:
    return (
        ("Accept", _SAFARI_ACCEPT),
        *_SEC_FETCH[:2],
        ("Sec-Fetch-Dest", "document"),
        ("User-Agent", shown),
        ("Accept-Language", languages),
        ("Accept-Encoding", "gzip, deflate, br"),
        ("Connection", "keep-alive"),
    )


def _chrome_like(chance: random.Random, shown: str, brands: str) -> Headers:
    language = chance.choice(LANGUAGES)
    languages = f"{_weighted(language, language[:2])},en-US;q=0.8,en;q=0.7"
    return (
        ("Connection", "keep-alive"),
        ("sec-ch-ua", brands),
        ("sec-ch-ua-mobile", "?1"),
        ("sec-ch-ua-platform", '"Android"'),
        ("Upgrade-Insecure-Requests", "1"),
        ("User-Agent", shown),
        ("Accept", _CHROME_ACCEPT),
        *_SEC_FETCH,
        ("Sec-Fetch-Dest", "document"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Accept-Language", languages),
    )


def _apple_languages(chance: random.Random) -> str:
    language = chance.choice(LANGUAGES)
    return _weighted(language, chance.choice((language[:2], language[:2], "en")))


def _weighted(first: str, second: str) -> str:
    return f"{first},{second};q=0.9"


def _ios(major: int, minor: int) -> str:
    return f"Mozilla/5.0 (iPhone; CPU iPhone OS {major}_{minor} like Mac OS X)"
