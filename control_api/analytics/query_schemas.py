"""The body of POST /v1/query and its answer."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from control_api.analytics.conditions import MAX_CONDITIONS, Condition, InvalidCondition, parse_condition
from control_api.analytics.fields import ALL_OPERATORS, BUCKETS, FIELDS, GROUP_NAMES
from control_api.analytics.model import UNIQUE_DEFINITION, Granularity, Period
from control_api.analytics.period import InvalidPeriod, parse_period
from control_api.analytics.query_service import Place
from control_api.analytics.question import MEASURES, Order, Question
from control_api.analytics.scan_set import ScanSet
from control_api.web.problem import InvalidParts
from scanhop.wire.ids import WorkspaceId

DEFAULT_LIMIT = 50
MAX_LIMIT = 10_000
MAX_GROUP_BY = 5

_FieldName = Annotated[str, Field(json_schema_extra={"enum": list(FIELDS)})]
_Operator = Annotated[str, Field(json_schema_extra={"enum": list(ALL_OPERATORS)})]
_GroupName = Annotated[str, Field(json_schema_extra={"enum": list(GROUP_NAMES)})]
_Value = str | int | bool | list[str | int | bool] | None


class WhereBody(BaseModel):
    """One condition; all must hold."""

    model_config = ConfigDict(extra="forbid", strict=True)

    field: _FieldName
    op: _Operator
    value: Annotated[
        _Value, Field(description="A list for in and not_in; true (the default) or false for is_empty")
    ] = None


class QueryBody(BaseModel):
    """A question about scans."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "select": ["count", "visitors"],
                    "where": [{"field": "country", "op": "in", "value": ["DE", "AT"]}],
                    "group_by": ["day", "device_type"],
                    "from": "2026-11-01",
                    "to": "2026-12-01",
                    "timezone": "Europe/Berlin",
                }
            ]
        },
    )

    select: list[Literal["rows", "count", "visitors"]] = Field(
        min_length=1, max_length=2, description="`rows` alone: scans, the newest first; else figures of groups"
    )
    where: list[WhereBody] = Field(default=[], max_length=MAX_CONDITIONS)
    group_by: list[_GroupName] = Field(
        default=[], max_length=MAX_GROUP_BY, description="Columns; hour, day, week, month"
    )
    start: str | None = Field(None, alias="from", description="A date, read in `timezone`, or an RFC 3339 time")
    end: str | None = Field(None, alias="to", description="Itself left out; default: now")
    timezone: str | None = Field(None, description="IANA name; default: the workspace's")
    include_bots: bool = Field(False, description="Naming is_bot or bot_reason includes them, too")
    order: Literal["largest", "keys"] | None = Field(
        None,
        description="Of groups. Default: by keys if there is a bucket of time among them, else the largest first",
    )
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Exports have none")
    cursor: str | None = Field(None, max_length=20_000)

    @model_validator(mode="after")
    def _check(self) -> Self:
        faults = [*self._faults_of_select(), *self._faults_of_groups(), *self._faults_of_where()]
        if faults:
            raise InvalidParts(faults)
        return self

    def _faults_of_select(self) -> Iterable[tuple[str, str]]:
        if len(set(self.select)) < len(self.select):
            yield "select", "must not name the same twice"
        elif "rows" in self.select and len(self.select) > 1:
            yield "select", "must be rows alone, or count and visitors"
        if "rows" in self.select and self.group_by:
            yield "group_by", "is for count and visitors, not for rows"
        if self.order is not None and ("rows" in self.select or not self.group_by):
            yield "order", "is for groups"

    def _faults_of_groups(self) -> Iterable[tuple[str, str]]:
        for number, name in enumerate(self.group_by):
            if name not in GROUP_NAMES:
                yield f"group_by.{number}", f"must be one of {', '.join(GROUP_NAMES)}"
            elif name in self.group_by[:number]:
                yield f"group_by.{number}", "must not be named twice"

    def _faults_of_where(self) -> Iterable[tuple[str, str]]:
        for number, each in enumerate(self.where):
            try:
                parse_condition(each.field, each.op, each.value)
            except InvalidCondition as error:
                yield f"where.{number}.{error.part}", str(error)

    def asked(self) -> object:
        """What a cursor belongs to: everything but the cursor and the size of the page."""
        return self.model_dump(exclude={"cursor", "limit"})

    def question(self, workspace_id: WorkspaceId, zone: str, now: datetime, place: Place | None) -> Question:
        """Raises InvalidPeriod."""
        period = self._period(zone, now, place)
        conditions: tuple[Condition, ...] = tuple(parse_condition(w.field, w.op, w.value) for w in self.where)
        scans = ScanSet(workspace_id, period.start, period.end, conditions, self.include_bots).naming(self.group_by)
        measures = tuple(name for name in self.select if name != "rows" and name in MEASURES)
        return Question(scans, period, measures, tuple(self.group_by), self._order())

    def _order(self) -> Order:
        return self.order or ("keys" if set(self.group_by) & set(BUCKETS) else "largest")

    def _period(self, zone: str, now: datetime, place: Place | None) -> Period:
        granularity: Granularity = "hour" if "hour" in self.group_by else "day"
        start, end = (self.start, self.end) if place is None else (_text(place.start), _text(place.end))
        try:
            return parse_period(start, end, zone, granularity, now)
        except InvalidPeriod as error:
            if error.name == "granularity":
                raise InvalidPeriod("group_by", str(error)) from None
            raise


class QueryAnswer(BaseModel):
    """A page of rows or groups."""

    data: list[dict[str, Any]] = Field(
        description="Rows have the columns of a scan; groups what they are grouped by, and `count`, `visitors`. "
        "Days, weeks and months are named by their first date in the time zone, hours by their beginning."
    )
    next_cursor: str | None
    start: datetime = Field(serialization_alias="from")
    end: datetime = Field(serialization_alias="to")
    timezone: str
    unique_definition: str = UNIQUE_DEFINITION

    @classmethod
    def of(cls, question: Question, data: list[dict[str, Any]], next_cursor: str | None) -> "QueryAnswer":
        period = question.period
        return cls(
            data=data,
            next_cursor=next_cursor,
            start=period.start.astimezone(UTC),
            end=period.end.astimezone(UTC),
            timezone=period.zone.key,
        )


def _text(at: datetime) -> str:
    return at.isoformat()
