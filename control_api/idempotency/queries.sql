-- name: try_lock
-- Whether nobody else runs the request; held until the end of the transaction.
SELECT pg_try_advisory_xact_lock($1);

-- name: find_record
-- A record that is not too old. Ask in a statement after the one that took the lock, which sees what was committed.
SELECT request_hash, answer FROM idempotency_records WHERE id = $1 AND created_at > $2;

-- name: put_record
-- The record of a request that has run; it takes the place of one that was too old.
INSERT INTO idempotency_records (id, created_at, request_hash, answer)
VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE
SET created_at = excluded.created_at, request_hash = excluded.request_hash, answer = excluded.answer;

-- name: delete_old_records
-- Some of the records that are too old; how many.
WITH old AS (
    SELECT id FROM idempotency_records WHERE created_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM idempotency_records USING old WHERE idempotency_records.id = old.id RETURNING 1
)
SELECT count(*) FROM deleted;
