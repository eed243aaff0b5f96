-- name: sum_platform_scans
-- Counted scans of all tenants today, in the last 7 and 30 UTC days, and of the workspaces with the most of them:
-- (workspace, its today, its 7 days, its 30 days, then the same of all).
SELECT workspace_id, today_scans, week_scans, month_scans,
       sum(today_scans) OVER () AS all_today, sum(week_scans) OVER () AS all_week, sum(month_scans) OVER () AS all_month
FROM (
    SELECT workspace_id,
           sumIf(scans, date = {today:Date}) AS today_scans,
           sumIf(scans, date > {today:Date} - 7) AS week_scans,
           sum(scans) AS month_scans
    FROM daily_aggregates
    WHERE date > {today:Date} - 30 AND date <= {today:Date}
    GROUP BY workspace_id
)
ORDER BY month_scans DESC, workspace_id
LIMIT {limit:UInt32};

-- name: find_newest_batch
-- When the last accepted batch of scans was made, of all tenants; 1970 where there is none.
SELECT max(frozen_at) FROM scan_batches WHERE first_scan_at > now() - INTERVAL 40 DAY;

-- name: list_new_scans
-- Scans that arrived of late in the workspaces that are listened to, but for those of batches that were seen already.
-- One statement for all listeners: each gets its own workspace's rows only, so many at most.
SELECT workspace_id, batch_id, event_id, received_at, scanned_at, qr_id, project_id, short_code, outcome, is_bot,
       bot_reason, rule_id, variant, country, region, city, language, device_type, os, browser, referer
FROM qr_scan_events
WHERE workspace_id IN {workspace_ids:Array(UUID)}
  AND received_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
  AND scanned_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') - INTERVAL 1 DAY
  AND batch_id NOT IN {seen:Array(UUID)}
ORDER BY received_at, event_id
LIMIT {limit:UInt32} BY workspace_id;

-- name: list_missed_scans
-- Scans of one workspace that arrived since, after the last that a listener had: the oldest first.
SELECT workspace_id, batch_id, event_id, received_at, scanned_at, qr_id, project_id, short_code, outcome, is_bot,
       bot_reason, rule_id, variant, country, region, city, language, device_type, os, browser, referer
FROM qr_scan_events
WHERE workspace_id = {workspace_id:UUID}
  AND received_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
  AND scanned_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') - INTERVAL 1 DAY
  AND (received_at, event_id) > (fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC'), {after_id:UUID})
ORDER BY received_at, event_id
LIMIT {limit:UInt32};

-- name: list_recent_batches
-- The batches of one workspace that arrived of late: what a new listener does not want to hear of.
SELECT DISTINCT batch_id
FROM qr_scan_events
WHERE workspace_id = {workspace_id:UUID}
  AND received_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
  AND scanned_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') - INTERVAL 1 DAY;
