-- name: credit
-- A new lot.
SELECT * FROM credits_credit($1, $2, $3, $4, $5, $6, $7, $8,
    ROW($9::text, $10::text, $11::text, $12::bigint, $13::bigint, $14::text, $15::text, $16::jsonb)::credit_facts);

-- name: debit
-- Takes credits, all of them or, with $6, as many as there are.
SELECT * FROM credits_debit($1, $2, $3, $4, $5, $6,
    ROW($7::text, $8::text, $9::text, $10::bigint, $11::bigint, $12::text, $13::text, $14::jsonb)::credit_facts);

-- name: reserve
-- Holds credits for the time $5.
SELECT * FROM credits_reserve($1, $2, $3, $4, $5,
    ROW($6::text, $7::text, $8::text, $9::bigint, $10::bigint, $11::text, $12::text, $13::jsonb)::credit_facts);

-- name: settle
-- Takes what a reservation came to.
SELECT * FROM credits_settle($1, $2, $3, $4, $5, $6, $7);

-- name: release
-- Gives back what a reservation holds.
SELECT * FROM credits_release($1, $2, $3);

-- name: refund
-- Gives back what an entry took.
SELECT * FROM credits_refund($1, $2, $3, $4, $5, $6,
    ROW($7::text, $8::text, $9::text, $10::bigint, $11::bigint, $12::text, $13::text, $14::jsonb)::credit_facts);

-- name: use_tokens
-- Charges one AI request, once.
SELECT * FROM credits_use_tokens($1, $2, $3, $4, $5, $6, $7, $8::text::numeric, $9, $10, $11, $12);

-- name: tidy
-- Expires lots and reservations.
SELECT FROM credits_open($1, $2);
