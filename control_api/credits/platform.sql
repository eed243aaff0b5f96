-- name: is_workspace
-- Whether there is such a workspace.
SELECT true FROM workspaces WHERE id = $1;

-- name: find_personal_workspace
-- The workspace that was made for the user.
SELECT w.id
FROM memberships m
JOIN workspaces w ON w.id = m.workspace_id
JOIN users u ON u.id = m.user_id
WHERE m.user_id = $1 AND m.role = 'owner' AND w.personal AND u.deleted_at IS NULL
ORDER BY w.created_at
LIMIT 1;

-- name: list_current_prices
-- What holds at $1 and what is to come.
SELECT version, action, model, credits, completion_credits, valid_from, set_by, reason
FROM (
    SELECT DISTINCT ON (action, model) *
    FROM credit_prices
    WHERE valid_from <= $1
    ORDER BY action, model, valid_from DESC, version DESC
) AS current
UNION ALL
SELECT version, action, model, credits, completion_credits, valid_from, set_by, reason
FROM credit_prices
WHERE valid_from > $1
ORDER BY action, model, valid_from, version;

-- name: list_prices
-- Every version ever, newest first, before the version $1.
SELECT version, action, model, credits, completion_credits, valid_from, set_by, reason, created_at
FROM credit_prices
WHERE version < coalesce($1::bigint, 9223372036854775807)
ORDER BY version DESC
LIMIT $2;

-- name: create_price
-- The next version of a price.
INSERT INTO credit_prices (action, model, credits, completion_credits, valid_from, set_by, reason, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING version, action, model, credits, completion_credits, valid_from, set_by, reason;

-- name: get_settings
-- What holds for every wallet that says nothing else.
SELECT monthly_grant FROM credit_settings;

-- name: set_default_monthly_grant
-- What each workspace is given a month.
UPDATE credit_settings SET monthly_grant = $1;

-- name: list_grants_due
-- Workspaces, after $1, whose grant of the month (the key is $2) is still to come.
SELECT ws.id AS workspace_id, coalesce(w.monthly_grant, s.monthly_grant) AS amount
FROM workspaces ws
CROSS JOIN credit_settings s
LEFT JOIN wallets w ON w.workspace_id = ws.id
WHERE ws.id > $1
  AND coalesce(w.monthly_grant, s.monthly_grant) > 0
  AND NOT EXISTS (SELECT FROM credit_entries e WHERE e.workspace_id = ws.id AND e.idempotency_key = $2)
ORDER BY ws.id
LIMIT $3;

-- name: list_due_wallets
-- Wallets in which something has run out by $1, or by now.
SELECT workspace_id FROM wallets WHERE next_due <= coalesce($1, clock_timestamp()) ORDER BY next_due LIMIT $2;

-- name: get_usage_counted_to
-- The first day that was not yet counted after it had closed; NULL: none ever was.
SELECT usage_counted_to FROM credit_settings;

-- name: set_usage_counted_to
-- Days before $1 will not be counted again.
UPDATE credit_settings SET usage_counted_to = greatest(usage_counted_to, $1);

-- name: reset_usage
-- Days that are counted anew begin at nothing.
UPDATE billing_usage
SET scans_used = 0, qr_created = 0, counted_at = $3
WHERE date >= $1 AND date < $2 AND charged_at IS NULL;

-- name: set_scans_used
-- What was counted, set and not added.
INSERT INTO billing_usage (workspace_id, date, scans_used, counted_at)
SELECT workspace_id, date, scans, $4
FROM unnest($1::uuid[], $2::date[], $3::bigint[]) AS counted (workspace_id, date, scans)
ON CONFLICT (workspace_id, date) DO UPDATE SET scans_used = excluded.scans_used, counted_at = excluded.counted_at
WHERE billing_usage.charged_at IS NULL;

-- name: set_qr_created
-- The same for codes, which Postgres has.
INSERT INTO billing_usage (workspace_id, date, qr_created, counted_at)
SELECT workspace_id, (created_at AT TIME ZONE 'UTC')::date, count(*), $3
FROM qr_codes
WHERE created_at >= $1::date AT TIME ZONE 'UTC' AND created_at < $2::date AT TIME ZONE 'UTC'
GROUP BY 1, 2
ON CONFLICT (workspace_id, date) DO UPDATE SET qr_created = excluded.qr_created, counted_at = excluded.counted_at
WHERE billing_usage.charged_at IS NULL;

-- name: list_closed_days
-- Days before $1 that are not charged yet.
SELECT workspace_id, date FROM billing_usage WHERE date < $1 AND charged_at IS NULL ORDER BY date LIMIT $2;

-- name: lock_closed_day
-- One of them, unless it was charged meanwhile, with the price at which the day began.
SELECT u.scans_used, p.version, p.credits
FROM billing_usage u
LEFT JOIN LATERAL (
    SELECT version, credits
    FROM credit_prices
    WHERE action = $3 AND valid_from <= u.date::timestamp AT TIME ZONE 'UTC'
    ORDER BY valid_from DESC, version DESC
    LIMIT 1
) p ON true
WHERE u.workspace_id = $1 AND u.date = $2 AND u.charged_at IS NULL
FOR UPDATE OF u;

-- name: close_day
-- What became of it.
UPDATE billing_usage
SET price = $3, price_version = $4, charged = $5, shortfall = $6, charged_at = $7
WHERE workspace_id = $1 AND date = $2;
