"""The kinds of requests: what is sent, what the answer must be, and which servers are asked."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.redirect_path import codes, country_map
from benchmarks.redirect_path.answer import Expected
from benchmarks.redirect_path.plan import ADDRESS_MARK, CODE_MARK, Plan, build_request, closing, write_plan
from benchmarks.traffic.phones import Headers, header_block, list_header_blocks

HEADER_BLOCKS = 2000
FORWARDED = "X-Forwarded-For"
_IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Mobile/15E148 Safari/604.1"
)

TO_HOT, UNKNOWN = Expected(codes.HOT_TARGET), Expected(None)


@dataclass(frozen=True)
class Scenario:
    """`checks`: requests with their answers, asked before each measurement.

    `once`: the code of each request must be one that the edge has not seen since it was started, so one is started
    for each measurement.
    """

    name: str
    plan: Plan
    checks: Sequence[tuple[str, Expected]]
    once: bool = False
    answers: Expected = field(default=TO_HOT)


def build_scenarios(folder: Path, many: int) -> Mapping[str, Scenario]:
    """`many`: how many codes of MANY_FORMAT there are."""
    chance = random.Random(20_26)
    blocks = list_header_blocks(HEADER_BLOCKS, chance)
    forwarded = [(FORWARDED, ADDRESS_MARK)]
    hot = [build_request(codes.HOT_CODE, block) for block in blocks]
    unique = [build_request(codes.HOT_CODE, block, *forwarded) for block in blocks]
    closed = [build_request(codes.HOT_CODE, closing(block)) for block in blocks]
    cold = [build_request(CODE_MARK, block) for block in blocks]
    strangers = [build_request(CODE_MARK, block, *forwarded) for block in blocks]
    sample = build_request(codes.HOT_CODE, blocks[0])
    unknown_sample = build_request("no-such-code", blocks[0], (FORWARDED, "20.1.2.3"))
    many_codes, unknown_codes = (codes.MANY_FORMAT, many), ("u%07d", 9_999_991)
    found = [
        Scenario("hot", write_plan(folder / "hot", hot, chance), [(sample, TO_HOT)]),
        Scenario("unique", write_plan(folder / "unique", unique, chance), [(sample, TO_HOT)]),
        Scenario("closed", write_plan(folder / "closed", closed, chance), [(sample, TO_HOT)]),
        Scenario("cold", write_plan(folder / "cold", cold, chance, *many_codes), [(sample, TO_HOT)], once=True),
        _rules(folder, blocks, chance),
        Scenario(
            "strangers",
            write_plan(folder / "strangers", strangers, chance, *unknown_codes),
            [(unknown_sample, UNKNOWN)],
            answers=UNKNOWN,
        ),
        Scenario(
            "one-stranger",
            write_plan(folder / "one-stranger", cold, chance, *unknown_codes),
            [(unknown_sample, UNKNOWN)],
            answers=UNKNOWN,
        ),
    ]
    return {scenario.name: scenario for scenario in found}


def _rules(folder: Path, blocks: Sequence[Headers], chance: random.Random) -> Scenario:
    """Each block comes from one address of any country, so that every rule decides for some."""
    firsts = [chance.choice(country_map.FIRST_BYTES) for _ in blocks]
    requests = [
        build_request(codes.RULED_CODE, block, (FORWARDED, f"{first}.{number % 250}.{number // 250}.9"))
        for number, (first, block) in enumerate(zip(firsts, blocks, strict=True))
    ]
    checks = [
        (_from("DE", "de-DE"), Expected(codes.GERMAN_TARGET)),
        (_from("JP", "ja-JP"), Expected(codes.ASIAN_TARGET)),
        (_from("US", "en-US"), Expected(codes.DEFAULT_TARGET)),
    ]
    return Scenario("rules", write_plan(folder / "rules", requests, chance), checks)


def _from(country: str, language: str) -> str:
    address = f"{country_map.first_byte_in(country)}.1.1.1"
    return build_request(codes.RULED_CODE, header_block(_IPHONE, language), (FORWARDED, address))
