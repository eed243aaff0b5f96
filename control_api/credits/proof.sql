-- name: examine
-- What the books of $2 wallets, those after $1, say in each of the ways in which they can be read.
WITH batch AS (
    SELECT workspace_id, balance, reserved, entries FROM wallets WHERE workspace_id > $1 ORDER BY workspace_id LIMIT $2
), allocated AS (
    SELECT a.workspace_id, a.entry_seq, sum(a.amount) AS amount
    FROM credit_allocations a JOIN batch USING (workspace_id)
    GROUP BY 1, 2
), replayed AS (
    SELECT e.workspace_id, e.seq, e.id, e.amount, e.balance_after,
           row_number() OVER replay AS place, sum(e.amount) OVER replay AS balance
    FROM credit_entries e JOIN batch USING (workspace_id)
    WINDOW replay AS (PARTITION BY e.workspace_id ORDER BY e.seq)
), wrong AS (
    SELECT DISTINCT ON (r.workspace_id) r.workspace_id, r.seq, r.id, r.amount, r.balance_after, r.place, r.balance,
           coalesce(a.amount, 0) AS allocated
    FROM replayed r
    LEFT JOIN allocated a ON a.workspace_id = r.workspace_id AND a.entry_seq = r.seq
    WHERE r.place <> r.seq OR r.balance <> r.balance_after OR r.amount <> coalesce(a.amount, 0)
    ORDER BY r.workspace_id, r.seq
), replay_of AS (
    SELECT workspace_id, count(*) AS entries, sum(amount) AS balance FROM replayed GROUP BY 1
), put AS (
    SELECT a.workspace_id, a.lot_seq, sum(a.amount) AS amount
    FROM credit_allocations a JOIN batch USING (workspace_id)
    GROUP BY 1, 2
), lots AS (
    SELECT l.workspace_id, sum(l.remaining) AS remaining, sum(l.held) AS held,
           min(l.seq) FILTER (WHERE l.remaining <> coalesce(p.amount, 0)) AS wrong_lot
    FROM credit_lots l
    JOIN batch USING (workspace_id)
    LEFT JOIN put p ON p.workspace_id = l.workspace_id AND p.lot_seq = l.seq
    GROUP BY 1
), reserved AS (
    SELECT r.workspace_id, sum(r.amount) AS amount
    FROM credit_reservations r JOIN batch USING (workspace_id)
    WHERE r.state = 'open'
    GROUP BY 1
)
SELECT s.workspace_id, s.balance, s.reserved, s.entries,
       coalesce(o.entries, 0)::bigint AS replayed_entries, coalesce(o.balance, 0)::bigint AS replayed_balance,
       coalesce(l.remaining, 0)::bigint AS remaining, coalesce(l.held, 0)::bigint AS held, l.wrong_lot,
       coalesce(v.amount, 0)::bigint AS open_reservations,
       w.seq AS wrong_seq, w.id AS wrong_id, w.amount AS wrong_amount, w.balance_after AS wrong_balance_after,
       w.place AS wrong_place, w.balance::bigint AS wrong_replayed, w.allocated::bigint AS wrong_allocated
FROM batch s
LEFT JOIN replay_of o USING (workspace_id)
LEFT JOIN lots l USING (workspace_id)
LEFT JOIN reserved v USING (workspace_id)
LEFT JOIN wrong w USING (workspace_id)
ORDER BY s.workspace_id;
