"""Statements of the reports: figures of a ScanSet in all, over time, by dimension, by code.

Counts of scans alone, over whole UTC days, by code or by what daily_aggregates holds as maps, come from that rollup;
everything else comes from raw, which knows visitors, hours, zones and every field.
"""

from collections.abc import Mapping

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
    """(is_total, bucket, scans, visitors): the bucket in Unix seconds for hours, else its first date."""
    where, parameters = where_sql(scans)
    bucket = _SECONDS if granularity == "hour" else _DATE
    sql = f"""SELECT grouping(bucket) = 1 AS is_total, bucket, count(), {MEASURES["visitors"]}
FROM (
    SELECT {bucket} AS bucket, scanned_at, visitor
    FROM qr_scan_events
    WHERE {where}
)
GROUP BY GROUPING SETS ((bucket), ())"""  # noqa: S608 - names from above, values are parameters
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


def is_rolled_up(scans: ScanSet, dimension: str, *, whole_utc_days: bool) -> bool:
    """Whether the rollup can say what raw would say."""
    plain = not scans.include_bots and not scans.any_outcome and dimension in (*ROLLED_UP, "code")
    return plain and whole_utc_days and not any(_is_beyond_rollup(each) for each in scans.conditions)


def rolled_up_statement(scans: ScanSet, dimension: str, limit: int) -> Statement:
    """What breakdown_statement says, from the rollup; see is_rolled_up."""
    where, parameters = _rollup_where(scans)
    if dimension == "code":
        inner = f"""SELECT toString(qr_id) AS name, sum(scans) AS counted
    FROM daily_aggregates
    WHERE {where}
    GROUP BY name"""  # noqa: S608 - as below
    else:
        inner = f"""SELECT each.1 AS name, each.2 AS counted
    FROM (SELECT CAST(sumMap({ROLLED_UP[dimension]}), 'Array(Tuple(String, UInt64))') AS summed
          FROM daily_aggregates
          WHERE {where})
    ARRAY JOIN summed AS each"""  # noqa: S608 - as below
    sql = f"""SELECT name, counted, sum(counted) OVER ()
FROM (
    {inner}
)
WHERE counted > 0
ORDER BY counted DESC, name
LIMIT {{limit:UInt32}}"""  # noqa: S608 - names from above, values are parameters
    return Statement(sql, parameters | {"limit": limit})


def _is_beyond_rollup(condition: Condition) -> bool:
    return condition.field.name != "qr_id" or condition.op not in ("in", "eq")


def _rollup_where(scans: ScanSet) -> tuple[str, Parameters]:
    """A last day that is not over counts whole."""
    parts = [
        "workspace_id = {workspace_id:UUID}",
        "date >= toDate(fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC'))",
        "date <= toDate(fromUnixTimestamp64Milli({end_ms:Int64} - 1, 'UTC'))",
    ]
    parameters: Parameters = {
        "workspace_id": str(scans.workspace_id),
        "start_ms": unix_ms(scans.start),
        "end_ms": unix_ms(scans.end),
    }
    for number, condition in enumerate(scans.conditions):
        part, parameters[f"p{number}"] = condition_sql(condition, f"p{number}", table="daily_aggregates")
        parts.append(part)
    return "\n  AND ".join(parts), parameters


def _bucket_parameters(granularity: Granularity, timezone: str, phase_s: int) -> Parameters:
    if granularity == "hour":
        return {"phase_s": phase_s}
    return {"granularity": granularity, "timezone": timezone}
