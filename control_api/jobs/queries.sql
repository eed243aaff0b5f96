-- name: record_start
-- A run begins.
INSERT INTO scheduled_jobs (name, runs, last_started_at, last_outcome)
VALUES ($1, 1, $2, 'running')
ON CONFLICT (name) DO UPDATE
SET runs = scheduled_jobs.runs + 1, last_started_at = $2, last_outcome = 'running';

-- name: record_success
-- A run ended well, with what it says of itself.
UPDATE scheduled_jobs
SET last_ended_at = $2, last_outcome = 'succeeded', last_error = NULL, last_result = $3, failures_in_row = 0,
    tries = 0
WHERE name = $1;

-- name: record_failure
-- A run ended otherwise; $4: it counts as a try.
UPDATE scheduled_jobs
SET last_ended_at = $2, last_outcome = 'failed', last_error = $3, failures = failures + 1,
    failures_in_row = failures_in_row + 1, tries = tries + $4::boolean::integer
WHERE name = $1
RETURNING tries;

-- name: record_death
-- There are no tries left: what died before of this name makes room.
WITH replaced AS (DELETE FROM pgqueuer WHERE entrypoint = $1 AND status = 'failed')
UPDATE scheduled_jobs SET tries = 0 WHERE name = $1;

-- name: list_scheduled
-- Every schedule of the workers, with how its job went.
SELECT name, min(s.expression) AS schedule, min(s.next_run) AS next_at, max(s.last_run) AS last_enqueued_at,
       j.runs, j.failures, j.failures_in_row, j.last_started_at, j.last_ended_at, j.last_outcome, j.last_error,
       j.last_result
FROM (SELECT regexp_replace(entrypoint, '^enqueue_', '') AS name, * FROM pgqueuer_schedules) AS s
FULL JOIN scheduled_jobs j USING (name)
GROUP BY name, j.runs, j.failures, j.failures_in_row, j.last_started_at, j.last_ended_at, j.last_outcome,
         j.last_error, j.last_result
ORDER BY name;

-- name: list_dead
-- Jobs that have failed for good, newest first, before the id $1, with what the last of their runs said.
SELECT q.id, q.entrypoint AS name, q.created AS created_at, q.updated AS failed_at, q.attempts,
       (SELECT l.traceback ->> 'exception_message' FROM pgqueuer_log l
        WHERE l.job_id = q.id AND l.traceback IS NOT NULL ORDER BY l.created DESC LIMIT 1) AS error
FROM pgqueuer q
WHERE q.status = 'failed' AND q.id < coalesce($1::bigint, 9223372036854775807)
ORDER BY q.id DESC
LIMIT $2;

-- name: find_job
-- The state of one job of the queue.
SELECT status::text FROM pgqueuer WHERE id = $1;
