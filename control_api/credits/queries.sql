-- name: find_wallet
-- The wallet of a workspace, with what there is left in it: a row for each of the first $2 lots in burn order, or one
-- without a lot. No row where nothing was ever put into it.
SELECT w.balance, w.reserved, w.monthly_grant, w.low_balance_thresholds,
       w.next_due <= clock_timestamp() AS is_due,
       l.seq, l.source, l.priority, l.amount, l.remaining, l.held, nullif(l.expires_at, 'infinity') AS expires_at,
       l.created_at
FROM wallets w
LEFT JOIN credit_lots l ON l.workspace_id = w.workspace_id AND l.is_open
WHERE w.workspace_id = $1
ORDER BY l.priority, l.expires_at, l.source, l.seq
LIMIT $2;

-- name: list_entries
-- Newest first, before the number $6.
SELECT seq, id, at, kind, amount, balance_after, reference, action, units, price_version, reason, actor, details
FROM credit_entries
WHERE workspace_id = $1
  AND ($2::text IS NULL OR kind = $2)
  AND ($3::text IS NULL OR reference = $3)
  AND ($4::timestamptz IS NULL OR at >= $4)
  AND ($5::timestamptz IS NULL OR at < $5)
  AND seq < coalesce($6::bigint, 9223372036854775807)
ORDER BY seq DESC
LIMIT $7;

-- name: find_entry
-- One entry by id.
SELECT seq, id, at, kind, amount, balance_after, reference, action, units, price_version, reason, actor, details
FROM credit_entries
WHERE workspace_id = $1 AND id = $2;

-- name: list_sums_by_day
-- What the entries of each UTC day come to, by kind and action.
SELECT (at AT TIME ZONE 'UTC')::date AS day, kind, coalesce(action, '') AS action, sum(amount)::bigint AS amount
FROM credit_entries
WHERE workspace_id = $1 AND at >= $2 AND at < $3
GROUP BY 1, 2, 3;

-- name: list_billing_usage
-- What was counted per UTC day.
SELECT date, scans_used, qr_created
FROM billing_usage
WHERE workspace_id = $1 AND date >= $2 AND date < $3;

-- name: set_thresholds
-- Below which balances it is told.
INSERT INTO wallets (workspace_id, low_balance_thresholds, created_at, updated_at)
VALUES ($1, $2, clock_timestamp(), clock_timestamp())
ON CONFLICT (workspace_id) DO UPDATE SET low_balance_thresholds = excluded.low_balance_thresholds;

-- name: set_monthly_grant
-- What the workspace is given each month; NULL: the platform's default.
INSERT INTO wallets (workspace_id, monthly_grant, created_at, updated_at)
VALUES ($1, $2, clock_timestamp(), clock_timestamp())
ON CONFLICT (workspace_id) DO UPDATE SET monthly_grant = excluded.monthly_grant;
