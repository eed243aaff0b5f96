-- name: find_route
-- The edge's look-up of a scanned code.
SELECT * FROM edge_routes_v1 WHERE domain_id = $1 AND short_code = $2;

-- name: find_route_by_id
-- The worker's look-up of a code to publish.
SELECT * FROM edge_routes_v1 WHERE qr_id = $1;

-- name: list_salts
-- The salts of yesterday, today and tomorrow that ingest keys visitors with.
SELECT day, salt FROM visitor_salts;

-- name: create_salt
-- The first to make a day's salt wins.
INSERT INTO visitor_salts (day, salt) VALUES ($1, $2) ON CONFLICT (day) DO NOTHING;

-- name: delete_salts_before
-- After this nobody can tell who a visitor of those days was.
DELETE FROM visitor_salts WHERE day < $1;
