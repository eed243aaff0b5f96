-- name: count_scans
-- How often each of some codes was counted as scanned, ever.
SELECT qr_id, sum(scans) AS counted
FROM daily_aggregates
WHERE workspace_id IN {workspace_ids:Array(UUID)}
  AND qr_id IN {qr_ids:Array(UUID)}
GROUP BY qr_id
HAVING counted > 0;
