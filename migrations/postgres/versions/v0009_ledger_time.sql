-- The ledger's functions anew: its time is the database's, what goes beyond a reservation follows the burn order, a
-- refund's key is bound to its entry, a reservation that has ended is told as closed, and what is not there leaves no
-- trace. `p_now` NULL: the database's clock.

DROP FUNCTION credits_append, credits_take, credits_burn, credits_unhold, credits_tidy, credits_open, credits_replay,
    credits_debit, credits_add_lot, credits_credit, credits_reserve, credits_settle, credits_release, credits_refund,
    credits_use_tokens;

-- One entry, with the walls: the balance never falls below what is reserved. Tells of thresholds that are passed.
CREATE FUNCTION credits_append(w wallets, p_id uuid, p_kind text, p_amount bigint, p_asked bigint, f credit_facts,
                               p_refund_of bigint) RETURNS wallets LANGUAGE plpgsql AS $$
BEGIN
    UPDATE wallets SET balance = balance + p_amount, entries = entries + 1, updated_at = w.updated_at
    WHERE workspace_id = w.workspace_id AND balance + p_amount >= reserved
    RETURNING * INTO w;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a wallet would fall below what is reserved' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO credit_entries VALUES
        (w.workspace_id, w.entries, p_id, w.updated_at, p_kind, p_amount, w.balance, p_asked, f.reference,
         f.idempotency_key, f.action, f.units, f.price_version, p_refund_of, f.reason, f.actor,
         coalesce(f.details, '{}'));
    IF p_amount < 0 AND w.low_balance_thresholds <> '{}' THEN
        INSERT INTO outbox_events (workspace_id, at, kind, key, data)
        SELECT w.workspace_id, w.updated_at, 'credits.low_balance',
               'credits.low_balance:' || threshold || ':' || to_char(w.updated_at AT TIME ZONE 'UTC', 'YYYY-MM'),
               jsonb_build_object('threshold', threshold, 'balance', w.balance, 'entry_id', p_id)
        FROM unnest(w.low_balance_thresholds) AS threshold
        WHERE w.balance < threshold AND w.balance - p_amount >= threshold
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN w;
END $$;

-- What the last entry takes from a lot, and what is no longer held of it.
CREATE FUNCTION credits_take(w wallets, p_lot bigint, p_amount bigint, p_held bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE credit_lots SET remaining = remaining - p_amount, held = held - p_held
    WHERE workspace_id = w.workspace_id AND seq = p_lot;
    IF p_amount > 0 THEN
        INSERT INTO credit_allocations VALUES (w.workspace_id, w.entries, p_lot, -p_amount);
    END IF;
END $$;

-- Takes what the last entry said from the lots that are open, in burn order.
CREATE FUNCTION credits_burn(w wallets, p_amount bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    lot  credit_lots;
    part bigint;
BEGIN
    FOR lot IN
        SELECT * FROM credit_lots
        WHERE workspace_id = w.workspace_id AND is_open AND expires_at > w.updated_at AND remaining > held
        ORDER BY priority, expires_at, source, seq
    LOOP
        part := least(p_amount, lot.remaining - lot.held);
        PERFORM credits_take(w, lot.seq, part, 0);
        p_amount := p_amount - part;
        EXIT WHEN p_amount = 0;
    END LOOP;
    IF p_amount <> 0 THEN
        RAISE EXCEPTION 'the lots of a wallet hold less than its balance' USING ERRCODE = 'check_violation';
    END IF;
END $$;

-- Gives back to the lots what a reservation holds.
CREATE FUNCTION credits_unhold(w wallets, p_reservation uuid) RETURNS wallets LANGUAGE plpgsql AS $$
DECLARE
    given_back bigint;
BEGIN
    UPDATE credit_lots l SET held = l.held - h.amount
    FROM credit_holds h
    WHERE h.workspace_id = w.workspace_id AND h.reservation_id = p_reservation
      AND l.workspace_id = h.workspace_id AND l.seq = h.lot_seq;
    WITH gone AS (
        DELETE FROM credit_holds WHERE workspace_id = w.workspace_id AND reservation_id = p_reservation
        RETURNING amount
    )
    SELECT coalesce(sum(amount), 0) INTO given_back FROM gone;
    UPDATE wallets SET reserved = reserved - given_back, updated_at = w.updated_at
    WHERE workspace_id = w.workspace_id
    RETURNING * INTO w;
    RETURN w;
END $$;

-- What has run out by now: reservations give back what they hold, lots lose what nobody holds.
CREATE FUNCTION credits_tidy(w wallets) RETURNS wallets LANGUAGE plpgsql AS $$
DECLARE
    stale credit_reservations;
    lot   credit_lots;
    gone  bigint;
BEGIN
    FOR stale IN
        SELECT * FROM credit_reservations
        WHERE workspace_id = w.workspace_id AND state = 'open' AND expires_at <= w.updated_at
        ORDER BY expires_at, id
    LOOP
        w := credits_unhold(w, stale.id);
        UPDATE credit_reservations SET state = 'timed_out', ended_at = w.updated_at
        WHERE workspace_id = w.workspace_id AND id = stale.id;
    END LOOP;
    FOR lot IN
        SELECT * FROM credit_lots
        WHERE workspace_id = w.workspace_id AND is_open AND expires_at <= w.updated_at AND remaining > held
        ORDER BY expires_at, seq
    LOOP
        gone := lot.remaining - lot.held;
        w := credits_append(w, gen_random_uuid(), 'expiry', -gone, gone,
                            ROW('lot:' || lot.seq, NULL, NULL, NULL, NULL, NULL, 'system',
                                jsonb_build_object('expired_at', lot.expires_at))::credit_facts, NULL);
        PERFORM credits_take(w, lot.seq, gone, 0);
    END LOOP;
    UPDATE wallets SET updated_at = w.updated_at, next_due = least(
        (SELECT min(expires_at) FROM credit_lots
         WHERE workspace_id = w.workspace_id AND is_open AND expires_at > w.updated_at),
        (SELECT min(expires_at) FROM credit_reservations WHERE workspace_id = w.workspace_id AND state = 'open'),
        'infinity')
    WHERE workspace_id = w.workspace_id
    RETURNING * INTO w;
    RETURN w;
END $$;

-- The wallet, locked until the transaction ends, and as it is now: `updated_at` is the time of what follows, by the
-- database's clock (or p_now), and no earlier than of what came before. Every statement that follows in the same
-- function sees what was committed before the lock was had.
CREATE FUNCTION credits_open(p_workspace uuid, p_now timestamptz) RETURNS wallets LANGUAGE plpgsql AS $$
DECLARE
    w wallets;
BEGIN
    SELECT * INTO w FROM wallets WHERE workspace_id = p_workspace FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO wallets (workspace_id, created_at, updated_at)
        VALUES (p_workspace, coalesce(p_now, clock_timestamp()), coalesce(p_now, clock_timestamp()))
        ON CONFLICT DO NOTHING;
        SELECT * INTO w FROM wallets WHERE workspace_id = p_workspace FOR UPDATE;
    END IF;
    w.updated_at := greatest(w.updated_at, coalesce(p_now, clock_timestamp()));
    IF w.next_due <= w.updated_at THEN
        w := credits_tidy(w);
    END IF;
    RETURN w;
END $$;

-- The first result of a key, or NULL.
CREATE FUNCTION credits_replay(w wallets, p_key text, p_kind text, p_asked bigint, p_sign integer,
                               p_refund_of bigint) RETURNS credit_result LANGUAGE plpgsql AS $$
DECLARE
    e credit_entries;
BEGIN
    IF p_key IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT * INTO e FROM credit_entries WHERE workspace_id = w.workspace_id AND idempotency_key = p_key;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF e.kind = p_kind AND sign(e.amount) = p_sign AND e.asked = coalesce(p_asked, e.asked)
            AND e.refund_of IS NOT DISTINCT FROM p_refund_of THEN
        RETURN ROW('replayed', e.id, abs(e.amount), e.asked - abs(e.amount), e.balance_after, w.reserved)::credit_result;
    END IF;
    RETURN ROW('conflict', NULL, 0, 0, w.balance, w.reserved)::credit_result;
END $$;

-- Takes p_amount; of a wallet that holds less nothing, or with p_partly what there is.
CREATE FUNCTION credits_debit(p_workspace uuid, p_now timestamptz, p_id uuid, p_kind text, p_amount bigint,
                              p_partly boolean, f credit_facts) RETURNS credit_result LANGUAGE plpgsql AS $$
DECLARE
    w     wallets := credits_open(p_workspace, p_now);
    earlier credit_result := credits_replay(w, f.idempotency_key, p_kind, p_amount, -1, NULL);
    free  bigint := w.balance - w.reserved;
    taken bigint := CASE WHEN p_partly THEN least(p_amount, free) ELSE p_amount END;
BEGIN
    IF earlier.outcome IS NOT NULL THEN
        RETURN earlier;
    END IF;
    IF taken > free THEN
        RETURN ROW('insufficient', NULL, 0, p_amount, w.balance, w.reserved)::credit_result;
    END IF;
    IF taken = 0 THEN
        RETURN ROW('nothing', NULL, 0, p_amount, w.balance, w.reserved)::credit_result;
    END IF;
    w := credits_append(w, p_id, p_kind, -taken, p_amount, f, NULL);
    PERFORM credits_burn(w, taken);
    RETURN ROW('done', p_id, taken, p_amount - taken, w.balance, w.reserved)::credit_result;
END $$;

CREATE FUNCTION credits_add_lot(w wallets, p_source text, p_priority smallint, p_amount bigint,
                                p_expires_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO credit_lots VALUES
        (w.workspace_id, w.entries, p_source, p_priority, p_amount, p_amount, 0, p_expires_at, w.updated_at);
    INSERT INTO credit_allocations VALUES (w.workspace_id, w.entries, w.entries, p_amount);
    UPDATE wallets SET next_due = least(next_due, p_expires_at)
    WHERE workspace_id = w.workspace_id AND next_due > p_expires_at;
END $$;

-- A new lot.
CREATE FUNCTION credits_credit(p_workspace uuid, p_now timestamptz, p_id uuid, p_kind text, p_amount bigint,
                               p_source text, p_priority smallint, p_expires_at timestamptz, f credit_facts)
RETURNS credit_result LANGUAGE plpgsql AS $$
DECLARE
    w     wallets := credits_open(p_workspace, p_now);
    earlier credit_result := credits_replay(w, f.idempotency_key, p_kind, p_amount, 1, NULL);
BEGIN
    IF earlier.outcome IS NOT NULL THEN
        RETURN earlier;
    END IF;
    w := credits_append(w, p_id, p_kind, p_amount, p_amount, f, NULL);
    PERFORM credits_add_lot(w, p_source, p_priority, p_amount, coalesce(p_expires_at, 'infinity'));
    RETURN ROW('done', p_id, p_amount, 0, w.balance, w.reserved)::credit_result;
END $$;

-- Holds p_amount in burn order until it is settled or released, or p_hold is over. `entry_id` is the reservation's id.
CREATE FUNCTION credits_reserve(p_workspace uuid, p_now timestamptz, p_id uuid, p_amount bigint,
                                p_hold interval, f credit_facts) RETURNS credit_result LANGUAGE plpgsql AS $$
DECLARE
    w    wallets := credits_open(p_workspace, p_now);
    ends timestamptz := w.updated_at + p_hold;
    r    credit_reservations;
    lot  credit_lots;
    part bigint;
    rest bigint := p_amount;
BEGIN
    IF f.idempotency_key IS NOT NULL THEN
        SELECT * INTO r FROM credit_reservations
        WHERE workspace_id = p_workspace AND idempotency_key = f.idempotency_key;
        IF FOUND THEN
            RETURN ROW(CASE WHEN r.amount <> p_amount THEN 'conflict' WHEN r.state = 'open' THEN 'replayed'
                            ELSE 'closed' END, r.id, 0, 0, w.balance, w.reserved)::credit_result;
        END IF;
    END IF;
    IF p_amount > w.balance - w.reserved THEN
        RETURN ROW('insufficient', NULL, 0, p_amount, w.balance, w.reserved)::credit_result;
    END IF;
    INSERT INTO credit_reservations
        (workspace_id, id, amount, reference, idempotency_key, action, price_version, actor, created_at, expires_at)
    VALUES (p_workspace, p_id, p_amount, f.reference, f.idempotency_key, f.action, f.price_version, f.actor,
            w.updated_at, ends);
    FOR lot IN
        SELECT * FROM credit_lots
        WHERE workspace_id = p_workspace AND is_open AND expires_at > w.updated_at AND remaining > held
        ORDER BY priority, expires_at, source, seq
    LOOP
        part := least(rest, lot.remaining - lot.held);
        UPDATE credit_lots SET held = held + part WHERE workspace_id = p_workspace AND seq = lot.seq;
        INSERT INTO credit_holds VALUES (p_workspace, p_id, lot.seq, part);
        rest := rest - part;
        EXIT WHEN rest = 0;
    END LOOP;
    IF rest <> 0 THEN
        RAISE EXCEPTION 'the lots of a wallet hold less than its balance' USING ERRCODE = 'check_violation';
    END IF;
    UPDATE wallets SET reserved = reserved + p_amount, next_due = least(next_due, ends), updated_at = w.updated_at
    WHERE workspace_id = p_workspace
    RETURNING * INTO w;
    RETURN ROW('done', p_id, 0, 0, w.balance, w.reserved)::credit_result;
END $$;

-- Takes p_amount of what is held, beyond it of what is free, each in burn order; gives the rest back. One that has timed
-- out holds nothing any more: the work is done all the same, so what is free is taken.
CREATE FUNCTION credits_settle(p_workspace uuid, p_now timestamptz, p_id uuid, p_reservation uuid, p_amount bigint,
                               p_units bigint, p_details jsonb) RETURNS credit_result LANGUAGE plpgsql AS $$
DECLARE
    w      wallets;
    r      credit_reservations;
    lot    record;
    taken  bigint;
    held   bigint := 0;    -- what the reservation holds of lots still to come
    within bigint;
    beyond bigint;
    part   bigint;
    more   bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM credit_reservations WHERE workspace_id = p_workspace AND id = p_reservation) THEN
        RETURN ROW('not_found', NULL, 0, 0, 0, 0)::credit_result;
    END IF;
    w := credits_open(p_workspace, p_now);
    SELECT * INTO r FROM credit_reservations WHERE workspace_id = p_workspace AND id = p_reservation;
    IF r.state = 'settled' AND r.asked = p_amount THEN
        RETURN ROW('replayed', r.entry_id, r.charged, r.asked - r.charged, r.balance_after, w.reserved)::credit_result;
    END IF;
    IF r.state IN ('settled', 'released') THEN
        RETURN ROW('closed', NULL, 0, 0, w.balance, w.reserved)::credit_result;
    END IF;
    IF r.state = 'open' THEN
        held := r.amount;
        UPDATE wallets SET reserved = reserved - held, updated_at = w.updated_at WHERE workspace_id = p_workspace
        RETURNING * INTO w;
    END IF;
    taken := least(p_amount, w.balance - w.reserved);
    within := least(taken, held);
    beyond := taken - within;
    IF taken > 0 THEN
        w := credits_append(w, p_id, 'usage', -taken, p_amount,
                            ROW(r.reference, 'reservation:' || r.id, r.action, p_units, r.price_version, NULL,
                                r.actor, p_details)::credit_facts, NULL);
    END IF;
    FOR lot IN
        SELECT l.seq, coalesce(h.amount, 0) AS held,
               CASE WHEN l.expires_at > w.updated_at THEN l.remaining - l.held ELSE 0 END AS free
        FROM credit_lots l LEFT JOIN credit_holds h
            ON h.workspace_id = l.workspace_id AND h.reservation_id = p_reservation AND h.lot_seq = l.seq
        WHERE l.workspace_id = p_workspace AND l.is_open
        ORDER BY l.priority, l.expires_at, l.source, l.seq
    LOOP
        EXIT WHEN held = 0 AND beyond = 0;
        part := least(within, lot.held);
        more := least(beyond, lot.free);
        CONTINUE WHEN lot.held = 0 AND more = 0;
        PERFORM credits_take(w, lot.seq, part + more, lot.held);
        within := within - part;
        beyond := beyond - more;
        held := held - lot.held;
    END LOOP;
    IF within + beyond <> 0 THEN
        RAISE EXCEPTION 'the lots of a wallet hold less than its balance' USING ERRCODE = 'check_violation';
    END IF;
    DELETE FROM credit_holds WHERE workspace_id = p_workspace AND reservation_id = p_reservation;
    UPDATE credit_reservations
    SET state = 'settled', ended_at = w.updated_at, asked = p_amount, charged = taken, balance_after = w.balance,
        entry_id = CASE WHEN taken > 0 THEN p_id END, entry_seq = CASE WHEN taken > 0 THEN w.entries END
    WHERE workspace_id = p_workspace AND id = p_reservation;
    w := credits_tidy(w);
    RETURN ROW('done', CASE WHEN taken > 0 THEN p_id END, taken, p_amount - taken, w.balance, w.reserved)::credit_result;
END $$;

CREATE FUNCTION credits_release(p_workspace uuid, p_now timestamptz, p_reservation uuid) RETURNS credit_result
LANGUAGE plpgsql AS $$
DECLARE
    w wallets;
    r credit_reservations;
BEGIN
    IF NOT EXISTS (SELECT FROM credit_reservations WHERE workspace_id = p_workspace AND id = p_reservation) THEN
        RETURN ROW('not_found', NULL, 0, 0, 0, 0)::credit_result;
    END IF;
    w := credits_open(p_workspace, p_now);
    SELECT * INTO r FROM credit_reservations WHERE workspace_id = p_workspace AND id = p_reservation;
    IF r.state = 'settled' THEN
        RETURN ROW('closed', NULL, 0, 0, w.balance, w.reserved)::credit_result;
    END IF;
    IF r.state <> 'open' THEN
        RETURN ROW('replayed', NULL, 0, 0, w.balance, w.reserved)::credit_result;
    END IF;
    w := credits_unhold(w, r.id);
    UPDATE credit_reservations SET state = 'released', ended_at = w.updated_at
    WHERE workspace_id = p_workspace AND id = p_reservation;
    w := credits_tidy(w);
    RETURN ROW('done', NULL, 0, 0, w.balance, w.reserved)::credit_result;
END $$;

-- Gives back p_amount of an entry, or all that is left of it, last burnt first, to the lots it was taken from. What was
-- taken from a lot that has expired since comes as a new lot, which lasts for p_grace.
CREATE FUNCTION credits_refund(p_workspace uuid, p_now timestamptz, p_id uuid, p_entry uuid, p_amount bigint,
                               p_grace interval, f credit_facts) RETURNS credit_result LANGUAGE plpgsql AS $$
DECLARE
    w       wallets;
    earlier credit_result;
    e       credit_entries;
    taken   record;
    skipped bigint;
    given   bigint;
    rest    bigint;
    part    bigint;
    revived bigint := 0;
    late    record;
BEGIN
    SELECT * INTO e FROM credit_entries
    WHERE workspace_id = p_workspace AND id = p_entry AND amount < 0 AND kind IN ('usage', 'adjustment');
    IF NOT FOUND THEN
        RETURN ROW('not_found', NULL, 0, 0, 0, 0)::credit_result;
    END IF;
    w := credits_open(p_workspace, p_now);
    earlier := credits_replay(w, f.idempotency_key, 'refund', p_amount, 1, e.seq);
    IF earlier.outcome IS NOT NULL THEN
        RETURN earlier;
    END IF;
    SELECT coalesce(sum(amount), 0) INTO skipped FROM credit_entries
    WHERE workspace_id = p_workspace AND refund_of = e.seq;
    given := coalesce(p_amount, -e.amount - skipped);
    IF given > -e.amount - skipped OR given = 0 THEN
        RETURN ROW('excessive', NULL, 0, -e.amount - skipped, w.balance, w.reserved)::credit_result;
    END IF;
    w := credits_append(w, p_id, 'refund', given, given, f, e.seq);
    rest := given;
    FOR taken IN
        SELECT l.*, -a.amount AS burnt
        FROM credit_allocations a JOIN credit_lots l ON l.workspace_id = a.workspace_id AND l.seq = a.lot_seq
        WHERE a.workspace_id = p_workspace AND a.entry_seq = e.seq
        ORDER BY l.priority DESC, l.expires_at DESC, l.source DESC, l.seq DESC
    LOOP
        part := least(rest, greatest(taken.burnt - skipped, 0));
        skipped := greatest(skipped - taken.burnt, 0);
        CONTINUE WHEN part = 0;
        rest := rest - part;
        IF taken.expires_at > w.updated_at THEN
            UPDATE credit_lots SET remaining = remaining + part WHERE workspace_id = p_workspace AND seq = taken.seq;
            INSERT INTO credit_allocations VALUES (p_workspace, w.entries, taken.seq, part);
            UPDATE wallets SET next_due = taken.expires_at
            WHERE workspace_id = p_workspace AND next_due > taken.expires_at;
        ELSE
            revived := revived + part;
        END IF;
    END LOOP;
    IF revived > 0 THEN
        SELECT max(l.priority) AS priority, max(l.source) AS source INTO late
        FROM credit_allocations a JOIN credit_lots l ON l.workspace_id = a.workspace_id AND l.seq = a.lot_seq
        WHERE a.workspace_id = p_workspace AND a.entry_seq = e.seq AND l.expires_at <= w.updated_at;
        PERFORM credits_add_lot(w, late.source, late.priority, revived, w.updated_at + p_grace);
    END IF;
    RETURN ROW('done', p_id, given, 0, w.balance, w.reserved)::credit_result;
END $$;

-- One AI request: as much of its price as there is. A request that was reported already answers what it did then.
CREATE FUNCTION credits_use_tokens(p_workspace uuid, p_now timestamptz, p_id uuid, p_request_id text, p_model text,
                                   p_prompt bigint, p_completion bigint, p_cost numeric, p_metadata jsonb,
                                   p_price bigint, p_price_version bigint, p_actor text) RETURNS credit_result
LANGUAGE plpgsql AS $$
DECLARE
    w     wallets := credits_open(p_workspace, p_now);
    u     token_usages;
    taken bigint := least(p_price, w.balance - w.reserved);
BEGIN
    SELECT * INTO u FROM token_usages WHERE workspace_id = p_workspace AND request_id = p_request_id;
    IF FOUND THEN
        RETURN ROW('replayed', NULL, u.charged, u.price - u.charged, u.balance_after, w.reserved)::credit_result;
    END IF;
    IF taken > 0 THEN
        w := credits_append(w, p_id, 'usage', -taken, p_price,
                            ROW(p_request_id, 'tokens:' || p_request_id, 'ai.tokens', p_prompt + p_completion,
                                p_price_version, NULL, p_actor, jsonb_build_object('model', p_model))::credit_facts,
                            NULL);
        PERFORM credits_burn(w, taken);
    END IF;
    INSERT INTO token_usages VALUES
        (p_workspace, p_request_id, w.updated_at, p_model, p_prompt, p_completion, p_cost, p_metadata, p_price,
         p_price_version, taken, w.balance, CASE WHEN taken > 0 THEN w.entries END);
    RETURN ROW('done', CASE WHEN taken > 0 THEN p_id END, taken, p_price - taken, w.balance, w.reserved)::credit_result;
END $$;
