-- name: find_printed_code
-- What the image of one code depends on; one that is not deleted.
SELECT q.short_code, q.name, d.host, d.code_case = 'exact' AS is_exact, q.design
FROM qr_codes q
JOIN domains d ON d.id = q.domain_id
WHERE q.workspace_id = $1 AND q.id = $2 AND q.status <> 'deleted';
