"""Statements of the reports: figures of a ScanSet in all, over time, by dimension, by code.

Counts of scans alone, by code or by what daily_aggregates holds as maps, come from that rollup for whole UTC days and
from raw for what the period has besides; everything else comes from raw, which knows visitors, hours and every field.
"""

from collections.abc import Mapping
from datetime import datetime

from control_api.analytics.conditions import Condition, condition_sql
from control_api.analytics.model import Granularity
from control_api.analytics.period import unix_ms
from control_api.analytics.question import MEASURES, Statement
from control_api.analytics.scan_set import Parameters, ScanSet, where_sql

DIMENSIONS: Mapping[str, str] = {
    "country": "country",
    "region": "region",
    "city": "city",
    "device": "device_type",
    "os": "os",
    "browser": "browser",
    "language": "language",
    "referer": "referer",
    "referer_host": "domain(referer)",
    "outcome": "outcome",
    "rule": "rule_id",
    "variant": "variant",
    "bot_reason": "bot_reason",
    "project": "if(empty(project_id), '', toString(project_id))",
    "domain": "if(empty(domain_id), '', toString(domain_id))",
    "code": "toString(qr_id)",
}
ROLLED_UP: Mapping[str, str] = {"country": "countries", "device": "devices", "os": "os", "browser": "browsers"}
_SECONDS = "intDiv(toInt64(toUnixTimestamp(scanned_at)) - {phase_s:Int64}, 3600) * 3600 + {phase_s:Int64}"
_DATE = "toDate(dateTrunc({granularity:String}, toDate(scanned_at, {timezone:String})))"


def total_statement(scans: ScanSet) -> Statement:
    """(scans, visitors, codes that were scanned)."""
    where, parameters = where_sql(scans)
    sql = f"SELECT count(), {MEASURES['visitors']}, uniqExact(qr_id)\nFROM qr_scan_events\nWHERE {where}"
    return Statement(sql, parameters)


def series_statement(scans: ScanSet, granularity: Granularity, timezone: str, phase_s: int) -> Statement:
    """(is_total, bucket, scans, visitors): the bucket in Unix seconds for hours, else its first date.

    No total where the buckets add up: visitors are counted by UTC day, so they do where each bucket is whole ones."""
    where, parameters = where_sql(scans)
    bucket = _SECONDS if granularity == "hour" else _DATE
    adds_up = timezone == "UTC" and granularity != "hour"
    is_total, groups = ("0", "bucket") if adds_up else ("grouping(bucket) = 1", "GROUPING SETS ((bucket), ())")
    sql = f"""SELECT {is_total} AS is_total, bucket, count(), {MEASURES["visitors"]}
FROM (
    SELECT {bucket} AS bucket, scanned_at, visitor
    FROM qr_scan_events
    WHERE {where}
)
GROUP BY {groups}"""  # noqa: S608 - names from above, values are parameters
    return Statement(sql, parameters | _bucket_parameters(granularity, timezone, phase_s))


def split_series_statement(  # noqa: PLR0913 - what a series is, and what it is split by
    scans: ScanSet, granularity: Granularity, timezone: str, phase_s: int, dimension: str, values: list[str]
) -> Statement:
    """(is one of `values`, the value, bucket, scans): all others are one."""
    where, parameters = where_sql(scans)
    bucket = _SECONDS if granularity == "hour" else _DATE
    sql = f"""SELECT has({{values:Array(String)}}, dimension_value) AS is_named,
       if(is_named, dimension_value, '') AS name, bucket, count()
FROM (
    SELECT toString({DIMENSIONS[dimension]}) AS dimension_value, {bucket} AS bucket
    FROM qr_scan_events
    WHERE {where}
)
GROUP BY is_named, name, bucket"""  # noqa: S608 - names from above, values are parameters
    return Statement(sql, parameters | _bucket_parameters(granularity, timezone, phase_s) | {"values": values})


def breakdown_statement(scans: ScanSet, dimension: str, limit: int) -> Statement:
    """(value, scans, scans of all values), the largest first."""
    where, parameters = where_sql(scans)
    sql = f"""SELECT toString(dimension_value), scans, sum(scans) OVER ()
FROM (
    SELECT {DIMENSIONS[dimension]} AS dimension_value, count() AS scans
    FROM qr_scan_events
    WHERE {where}
    GROUP BY dimension_value
)
ORDER BY scans DESC, dimension_value
LIMIT {{limit:UInt32}}"""  # noqa: S608 - names from above, values are parameters
    return Statement(sql, parameters | {"limit": limit})


def breakdowns_statement(scans: ScanSet, dimensions: tuple[str, ...], limit: int) -> Statement:
    """(dimension, value, scans): the `limit` largest of each, read in one go."""
    where, parameters = where_sql(scans)
    values = ", ".join(f"toString({DIMENSIONS[dimension]})" for dimension in dimensions)
    sql = f"""SELECT dimension, dimension_value, count() AS scans
FROM qr_scan_events
ARRAY JOIN {{dimensions:Array(String)}} AS dimension, [{values}] AS dimension_value
WHERE {where}
GROUP BY dimension, dimension_value
ORDER BY scans DESC, dimension_value
LIMIT {{limit:UInt32}} BY dimension"""  # noqa: S608 - names from above, values are parameters
    return Statement(sql, parameters | {"limit": limit, "dimensions": list(dimensions)})


def is_rolled_up(scans: ScanSet, dimension: str) -> bool:
    """Whether the rollup can say what raw would say, of whole UTC days."""
    plain = not scans.include_bots and not scans.any_outcome and dimension in (*ROLLED_UP, "code")
    return plain and not any(_is_beyond_rollup(each) for each in scans.conditions)


def rolled_up_statement(scans: ScanSet, days: tuple[datetime, datetime], dimension: str, limit: int) -> Statement:
    """What breakdown_statement says, of `days` from the rollup; see is_rolled_up, and whole_utc_days."""
    where, parameters = where_sql(scans)
    rollup_where, rollup_parameters = _rollup_where(scans, days)
    if dimension == "code":
        rolled_up = f"""SELECT toString(qr_id) AS name, sum(scans) AS counted
    FROM daily_aggregates
    WHERE {rollup_where}
    GROUP BY name"""  # noqa: S608 - as below
    else:
        rolled_up = f"""SELECT each.1 AS name, each.2 AS counted
    FROM (SELECT CAST(sumMap({ROLLED_UP[dimension]}), 'Array(Tuple(String, UInt64))') AS summed
          FROM daily_aggregates
          WHERE {rollup_where})
    ARRAY JOIN summed AS each"""  # noqa: S608 - as below
    sql = f"""SELECT name, sum(counted) AS scans, sum(scans) OVER ()
FROM (
    {rolled_up}
    UNION ALL
    SELECT toString({DIMENSIONS[dimension]}) AS name, count() AS counted
    FROM qr_scan_events
    WHERE {where}
      AND (scanned_at < {_moment("days_start_ms")} OR scanned_at >= {_moment("days_end_ms")})
    GROUP BY name
)
GROUP BY name
HAVING scans > 0
ORDER BY scans DESC, name
LIMIT {{limit:UInt32}}"""  # noqa: S608 - names from above, values are parameters
    return Statement(sql, parameters | rollup_parameters | {"limit": limit})


def _is_beyond_rollup(condition: Condition) -> bool:
    return condition.field.name != "qr_id" or condition.op not in ("in", "eq")


def _rollup_where(scans: ScanSet, days: tuple[datetime, datetime]) -> tuple[str, Parameters]:
    """A last day that is not over counts whole."""
    parts = [
        "workspace_id = {workspace_id:UUID}",
        f"date >= toDate({_moment('days_start_ms')})",
        f"date <= toDate({_moment('days_end_ms')} - INTERVAL 1 MILLISECOND)",
    ]
    parameters: Parameters = {"days_start_ms": unix_ms(days[0]), "days_end_ms": unix_ms(days[1])}
    for number, condition in enumerate(scans.conditions):
        part, parameters[f"p{number}"] = condition_sql(condition, f"p{number}", table="daily_aggregates")
        parts.append(part)
    return "\n  AND ".join(parts), parameters


def _moment(parameter: str) -> str:
    return f"fromUnixTimestamp64Milli({{{parameter}:Int64}}, 'UTC')"


def _bucket_parameters(granularity: Granularity, timezone: str, phase_s: int) -> Parameters:
    if granularity == "hour":
        return {"phase_s": phase_s}
    return {"granularity": granularity, "timezone": timezone}
