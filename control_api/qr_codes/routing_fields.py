"""Rules and the forwarding of queries as JSON: the shapes are for the OpenAPI document, the meaning is routing's."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, PlainValidator, SkipValidation, with_config
from typing_extensions import TypedDict

from control_api.web.problem import InvalidParts
from scanhop.routing.forwarding import MAX_KEY_LENGTH, MAX_PINNED, parse_forward_query
from scanhop.routing.rules import (
    MAX_CONDITIONS,
    MAX_RULES,
    MAX_VARIANTS,
    MAX_WEIGHT,
    MIN_VARIANTS,
    InvalidRules,
    parse_rules,
)

_NAME = "^[A-Za-z0-9_-]{1,32}$"

_documented = with_config(ConfigDict(extra="forbid"))


@_documented
class Condition(TypedDict):
    """What must be so. A fact that is not known meets no condition."""

    field: Literal[
        "device",
        "os",
        "browser",
        "language",
        "country",
        "region",
        "city",
        "ip",
        "query",
        "date",
        "weekday",
        "hour",
        "scans",
    ]
    op: Annotated[
        Literal["in", "not_in", "is", "exists", "not_exists", "between", "gte", "lt"],
        Field(
            description="in, not_in: device, os, browser, language, country, region, city, ip, weekday; "
            "is, in, exists, not_exists: query; between: date, hour; gte, lt: scans"
        ),
    ]
    value: NotRequired[
        Annotated[
            list[str] | str | int | dict[str, str],
            Field(
                description="A list or one text for in and not_in, `from` and `to` (half-open) for between, "
                "a number for gte and lt, nothing for exists and not_exists"
            ),
        ]
    ]
    key: NotRequired[Annotated[str, Field(description="Of a query's parameter")]]
    timezone: NotRequired[Annotated[str, Field(description="IANA name for date, weekday and hour; default: UTC")]]


@_documented
class Variant(TypedDict):
    """One of several targets; who scans again gets the same one."""

    name: Annotated[str, Field(pattern=_NAME)]
    weight: Annotated[int, Field(ge=1, le=MAX_WEIGHT)]
    target_url: str


@_documented
class Rule(TypedDict):
    """Where a scan is sent when all conditions are met: to `target_url` or to one of `variants`."""

    id: NotRequired[Annotated[str, Field(pattern=_NAME, description="Unique among the rules; default: a free one")]]
    when: Annotated[list[Condition], Field(min_length=1, max_length=MAX_CONDITIONS)]
    target_url: NotRequired[str]
    variants: NotRequired[Annotated[list[Variant], Field(min_length=MIN_VARIANTS, max_length=MAX_VARIANTS)]]


@_documented
class PinnedQuery(TypedDict):
    """Forwarded; of these keys the target's own values stay."""

    pinned: Annotated[
        list[
            Annotated[
                str,
                Field(min_length=1, max_length=MAX_KEY_LENGTH, json_schema_extra={"pattern": r"^[^\x00-\x1f]*$"}),
            ]
        ],
        Field(max_length=MAX_PINNED),
    ]


def _parse_rules(value: object) -> list[dict[str, Any]]:
    """Null is no rules. Raises InvalidParts."""
    try:
        return [] if value is None else parse_rules(value)
    except InvalidRules as error:
        raise InvalidParts(error.problems) from None


def _parse_forward_query(value: object) -> bool | dict[str, list[str]]:
    """Each pinned key once; none with control characters, of which jsonb cannot hold every one. Raises ValueError."""
    is_forwarded, pinned = parse_forward_query(value)
    if any(character < " " for key in pinned for character in key):
        raise ValueError("pinned keys must not contain control characters")
    return {"pinned": list(dict.fromkeys(pinned))} if pinned else is_forwarded


Rules = Annotated[
    list[Rule],
    PlainValidator(_parse_rules, json_schema_input_type=Annotated[list[Rule], Field(max_length=MAX_RULES)] | None),
    Field(description="The first whose conditions are all met decides; else the code's own target"),
]
ForwardQuery = Annotated[
    bool | PinnedQuery,
    PlainValidator(_parse_forward_query, json_schema_input_type=bool | PinnedQuery),
    Field(description="Whether the query of a scan is added to the target; it wins over the target's own"),
]
AnsweredRules = Annotated[list[Rule], SkipValidation]
AnsweredForwardQuery = Annotated[bool | PinnedQuery, SkipValidation]
