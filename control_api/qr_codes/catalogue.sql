-- name: describe_codes
-- What codes are called, deleted ones too.
SELECT id, name, short_code, status
FROM qr_codes
WHERE workspace_id = $1 AND id = ANY ($2::uuid[]);

-- name: list_ids_with_tag
-- The codes with a tag, deleted ones too: their scans are still there.
SELECT id
FROM qr_codes
WHERE workspace_id = $1 AND tags @> ARRAY[$2::text]
LIMIT $3;

-- name: count_created_by_day
-- How many codes were made on each day of a time zone.
SELECT (created_at AT TIME ZONE $4)::date AS day, count(*) AS created
FROM qr_codes
WHERE workspace_id = $1 AND created_at >= $2 AND created_at < $3
GROUP BY day;
