-- name: list_hours
-- Scans and visitors of one code per hour (in Unix seconds), and in all (is_total).
SELECT grouping(bucket) = 1 AS is_total,
       bucket,
       count() AS scans,
       uniqExactIf((toDate(scanned_at, 'UTC'), visitor), visitor != 0) AS visitors
FROM (
    SELECT intDiv(toInt64(toUnixTimestamp(scanned_at)) - {phase_s:Int64}, 3600) * 3600 + {phase_s:Int64} AS bucket,
           scanned_at,
           visitor
    FROM qr_scan_events
    WHERE workspace_id = {workspace_id:UUID}
      AND qr_id = {qr_id:UUID}
      AND scanned_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
      AND scanned_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
      AND outcome = 'redirect'
      AND (NOT is_bot OR {include_bots:UInt8})
)
GROUP BY GROUPING SETS ((bucket), ());

-- name: list_dates
-- Scans and visitors of one code per day, week or month of a zone, and in all (is_total).
SELECT grouping(bucket) = 1 AS is_total,
       bucket,
       count() AS scans,
       uniqExactIf((toDate(scanned_at, 'UTC'), visitor), visitor != 0) AS visitors
FROM (
    SELECT toDate(dateTrunc({granularity:String}, toDate(scanned_at, {timezone:String}))) AS bucket,
           scanned_at,
           visitor
    FROM qr_scan_events
    WHERE workspace_id = {workspace_id:UUID}
      AND qr_id = {qr_id:UUID}
      AND scanned_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
      AND scanned_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
      AND outcome = 'redirect'
      AND (NOT is_bot OR {include_bots:UInt8})
)
GROUP BY GROUPING SETS ((bucket), ());

-- name: list_shares
-- Scans of one code by country, device, operating system and browser, the `limit` largest of each.
SELECT dimension, value, count() AS scans
FROM qr_scan_events
ARRAY JOIN ['countries', 'devices', 'os', 'browsers'] AS dimension, [country, device_type, os, browser] AS value
WHERE workspace_id = {workspace_id:UUID}
  AND qr_id = {qr_id:UUID}
  AND scanned_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
  AND scanned_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
  AND outcome = 'redirect'
  AND (NOT is_bot OR {include_bots:UInt8})
GROUP BY dimension, value
ORDER BY scans DESC, value
LIMIT {limit:UInt32} BY dimension;
