"""Fifty User-Agents: phones, tablets, desktops, and a few that are no people."""

_IPHONES = [
    f"Mozilla/5.0 (iPhone; CPU iPhone OS {major}_{minor} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    f"Version/{major}.{minor} Mobile/15E148 Safari/604.1"
    for major in (15, 16, 17, 18)
    for minor in (0, 2, 4, 6)
]
_ANDROIDS = [
    f"Mozilla/5.0 (Linux; Android {release}; {model}) AppleWebKit/537.36 (KHTML, like Gecko) "
    f"Chrome/{chrome}.0.0.0 Mobile Safari/537.36"
    for release, model in ((12, "SM-G991B"), (13, "Pixel 7"), (14, "SM-S918B"), (15, "Pixel 9"))
    for chrome in (120, 124, 128, 131)
]
_TABLETS = [
    f"Mozilla/5.0 (iPad; CPU OS {major}_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    f"Version/{major}.3 Mobile/15E148 Safari/604.1"
    for major in (14, 15, 16)
] + ["Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"]
_DESKTOPS = [
    f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{chrome}.0.0.0 Safari/537.36"
    for system in ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64")
    for chrome in (126, 130)
] + [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14.6; rv:131.0) Gecko/20100101 Firefox/131.0",
]
_NO_PEOPLE = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "facebookexternalhit/1.1",
    "Slackbot-LinkExpanding 1.0",
    "Twitterbot/1.0",
]
_OTHERS = ["curl/8.5.0", ""]

USER_AGENTS = [*_IPHONES, *_ANDROIDS, *_TABLETS, *_DESKTOPS, *_NO_PEOPLE, *_OTHERS]
