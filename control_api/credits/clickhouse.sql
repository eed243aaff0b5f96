-- name: count_scans
-- Counted scans per workspace and UTC day.
SELECT workspace_id, toDate(scanned_at, 'UTC') AS day, count() AS scans
FROM qr_scan_events
WHERE scanned_at >= toDateTime64({first:Date}, 3, 'UTC')
  AND scanned_at < toDateTime64({end:Date}, 3, 'UTC')
  AND outcome = 'redirect'
  AND NOT is_bot
GROUP BY workspace_id, day
ORDER BY workspace_id, day;
