-- Credits: the invariants of these tables are told in control_api/credits/ledger.py. The functions below are the only
-- writers of wallets, entries, lots, allocations, reservations and holds. Books outlive what they are about, so there
-- is no reference to workspaces.

CREATE TABLE wallets (
    workspace_id           uuid PRIMARY KEY,
    balance                bigint NOT NULL DEFAULT 0 CHECK (balance >= 0),
    reserved               bigint NOT NULL DEFAULT 0 CHECK (reserved BETWEEN 0 AND balance),
    entries                bigint NOT NULL DEFAULT 0,   -- the number of the last entry
    next_due               timestamptz NOT NULL DEFAULT 'infinity',   -- no later than a lot or a reservation runs out
    monthly_grant          bigint CHECK (monthly_grant >= 0),         -- NULL: the platform's default
    low_balance_thresholds bigint[] NOT NULL DEFAULT '{}',
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX wallets_due ON wallets (next_due);

CREATE TABLE credit_entries (
    workspace_id    uuid NOT NULL REFERENCES wallets,
    seq             bigint NOT NULL CHECK (seq > 0),     -- 1, 2, 3 ... within the wallet
    id              uuid NOT NULL,
    at              timestamptz NOT NULL,
    kind            text NOT NULL,
    amount          bigint NOT NULL,
    balance_after   bigint NOT NULL CHECK (balance_after >= 0),
    asked           bigint NOT NULL,                     -- more than was taken where the wallet held less
    reference       text,
    idempotency_key text,
    action          text,
    units           bigint,
    price_version   bigint,
    refund_of       bigint,                              -- seq of the entry that is given back
    reason          text,
    actor           text NOT NULL,                       -- user:<id>, key:<id>, platform-admin, credit-service or system
    details         jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (workspace_id, seq),
    UNIQUE (workspace_id, id),
    CHECK (CASE WHEN kind IN ('grant', 'purchase', 'refund') THEN amount > 0
                WHEN kind IN ('usage', 'expiry') THEN amount < 0
                WHEN kind = 'adjustment' THEN amount <> 0
                ELSE false END),
    CHECK (asked >= abs(amount))
);
CREATE UNIQUE INDEX credit_entries_key ON credit_entries (workspace_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX credit_entries_at ON credit_entries (workspace_id, at);
CREATE INDEX credit_entries_reference ON credit_entries (workspace_id, reference) WHERE reference IS NOT NULL;
CREATE INDEX credit_entries_refunds ON credit_entries (workspace_id, refund_of) WHERE refund_of IS NOT NULL;

-- What came in at once, under the number of the entry that brought it. Burnt in the order of credit_lots_open.
CREATE TABLE credit_lots (
    workspace_id uuid NOT NULL,
    seq          bigint NOT NULL,
    source       text NOT NULL CHECK (source IN ('granted', 'purchased')),
    priority     smallint NOT NULL,                      -- the lower, the earlier burnt
    amount       bigint NOT NULL CHECK (amount > 0),
    remaining    bigint NOT NULL CHECK (remaining BETWEEN 0 AND amount),
    held         bigint NOT NULL DEFAULT 0 CHECK (held BETWEEN 0 AND remaining),
    expires_at   timestamptz NOT NULL DEFAULT 'infinity',
    created_at   timestamptz NOT NULL,
    is_open      boolean GENERATED ALWAYS AS (remaining > 0) STORED,
    PRIMARY KEY (workspace_id, seq),
    FOREIGN KEY (workspace_id, seq) REFERENCES credit_entries
) WITH (fillfactor = 70);
CREATE INDEX credit_lots_open ON credit_lots (workspace_id, priority, expires_at, source, seq) WHERE is_open;

-- What each entry put into or took from each lot.
CREATE TABLE credit_allocations (
    workspace_id uuid NOT NULL,
    entry_seq    bigint NOT NULL,
    lot_seq      bigint NOT NULL,
    amount       bigint NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (workspace_id, entry_seq, lot_seq),
    FOREIGN KEY (workspace_id, entry_seq) REFERENCES credit_entries,
    FOREIGN KEY (workspace_id, lot_seq) REFERENCES credit_lots
);

CREATE TABLE credit_reservations (
    workspace_id    uuid NOT NULL REFERENCES wallets,
    id              uuid NOT NULL,
    state           text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'settled', 'released', 'timed_out')),
    amount          bigint NOT NULL CHECK (amount > 0),
    reference       text,
    idempotency_key text,
    action          text,
    price_version   bigint,
    actor           text NOT NULL,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    asked           bigint,                              -- what it was settled with
    charged         bigint,
    entry_seq       bigint,
    entry_id        uuid,
    balance_after   bigint,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX credit_reservations_open ON credit_reservations (workspace_id, expires_at) WHERE state = 'open';
CREATE UNIQUE INDEX credit_reservations_key ON credit_reservations (workspace_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- What an open reservation holds of which lot.
CREATE TABLE credit_holds (
    workspace_id   uuid NOT NULL,
    reservation_id uuid NOT NULL,
    lot_seq        bigint NOT NULL,
    amount         bigint NOT NULL CHECK (amount > 0),
    PRIMARY KEY (workspace_id, reservation_id, lot_seq)
);

-- A change of price is a new row. `credits` NULL: no longer priced. For 'ai.tokens' the prices are those of 1,000,000
-- prompt and completion tokens of a model, '*' being every other model.
CREATE TABLE credit_prices (
    version            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    action             text NOT NULL,
    model              text NOT NULL DEFAULT '',
    credits            bigint CHECK (credits >= 0),
    completion_credits bigint CHECK (completion_credits >= 0),
    valid_from         timestamptz NOT NULL,
    set_by             text NOT NULL,
    reason             text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    CHECK ((action = 'ai.tokens') = (model <> '')),
    CHECK ((action = 'ai.tokens' AND credits IS NOT NULL) = (completion_credits IS NOT NULL))
);
INSERT INTO credit_prices (action, credits, valid_from, set_by)
SELECT action, 0, '1970-01-01T00:00:00Z', 'system'
FROM unnest('{qr_code.created,image.rendered,api.query,export.row,scan.counted}'::text[]) AS action;
INSERT INTO credit_prices (action, model, credits, completion_credits, valid_from, set_by)
SELECT 'ai.tokens', model, prompt, completion, '1970-01-01T00:00:00Z', 'system'
FROM (VALUES ('gpt-4o', 2500, 10000), ('gpt-4o-mini', 150, 600), ('gpt-4.1', 2000, 8000),
             ('gpt-4.1-mini', 400, 1600), ('gpt-4.1-nano', 100, 400), ('gpt-4-turbo', 10000, 30000),
             ('gpt-4', 30000, 60000), ('gpt-3.5-turbo', 500, 1500), ('o3-mini', 1100, 4400),
             ('claude-3-5-sonnet', 3000, 15000), ('claude-3-5-haiku', 800, 4000), ('claude-3-opus', 15000, 75000),
             ('gemini-1.5-pro', 1250, 5000), ('gemini-1.5-flash', 75, 300),
             ('gemini-2.0-flash', 100, 400)) AS listed (model, prompt, completion);

-- What one AI request used and what it cost; the first report of a request is the one that counts.
CREATE TABLE token_usages (
    workspace_id      uuid NOT NULL REFERENCES wallets,
    request_id        text NOT NULL,
    at                timestamptz NOT NULL,
    model             text NOT NULL,
    prompt_tokens     bigint NOT NULL CHECK (prompt_tokens >= 0),
    completion_tokens bigint NOT NULL CHECK (completion_tokens >= 0),
    cost              numeric,                           -- what the provider charged, in its currency
    metadata          jsonb NOT NULL DEFAULT '{}',
    price             bigint NOT NULL CHECK (price >= 0),
    price_version     bigint NOT NULL,
    charged           bigint NOT NULL,
    balance_after     bigint NOT NULL,
    entry_seq         bigint,
    PRIMARY KEY (workspace_id, request_id),
    CHECK (charged BETWEEN 0 AND price)
);

-- Counted scans and created codes per UTC day: set by the worker, never added to; `charged_at` NULL: still open.
CREATE TABLE billing_usage (
    workspace_id  uuid NOT NULL,
    date          date NOT NULL,
    scans_used    bigint NOT NULL DEFAULT 0 CHECK (scans_used >= 0),
    qr_created    bigint NOT NULL DEFAULT 0 CHECK (qr_created >= 0),
    counted_at    timestamptz NOT NULL,
    price         bigint,
    price_version bigint,
    charged       bigint,
    shortfall     bigint,
    charged_at    timestamptz,
    PRIMARY KEY (workspace_id, date)
);
CREATE INDEX billing_usage_open ON billing_usage (date) WHERE charged_at IS NULL;

-- One row: what holds for every wallet that says nothing else.
CREATE TABLE credit_settings (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    monthly_grant   bigint NOT NULL DEFAULT 0 CHECK (monthly_grant >= 0),
    usage_counted_to date                                -- days before it were counted after they had closed
);
INSERT INTO credit_settings DEFAULT VALUES;

-- What happened, for whoever subscribes: read in the order of `position`. Each `key` happens once per workspace.
CREATE TABLE outbox_events (
    position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL,
    at           timestamptz NOT NULL,
    kind         text NOT NULL,
    key          text NOT NULL,
    data         jsonb NOT NULL,
    UNIQUE (workspace_id, key)
);

-- The jobs that come by the clock: how each went last.
CREATE TABLE scheduled_jobs (
    name             text PRIMARY KEY,
    runs             bigint NOT NULL DEFAULT 0,
    failures         bigint NOT NULL DEFAULT 0,
    failures_in_row  bigint NOT NULL DEFAULT 0,
    last_started_at  timestamptz,
    last_ended_at    timestamptz,
    last_outcome     text CHECK (last_outcome IN ('running', 'succeeded', 'failed')),
    last_error       text,
    last_result      jsonb
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only', ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON credit_entries FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER not_emptied BEFORE TRUNCATE ON credit_entries EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON credit_allocations FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER not_emptied BEFORE TRUNCATE ON credit_allocations EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON credit_prices FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER not_emptied BEFORE TRUNCATE ON credit_prices EXECUTE FUNCTION refuse_change();

-- Functions -------------------------------------------------------------------------------------------------

CREATE TYPE credit_facts AS (
    reference text, idempotency_key text, action text, units bigint, price_version bigint, reason text, actor text,
    details jsonb
);

-- `outcome`: done, replayed (the first result again), conflict (the key's first call was another one), insufficient,
-- nothing (there was nothing to take), not_found, closed (the reservation has ended otherwise), excessive.
CREATE TYPE credit_result AS (
    outcome text, entry_id uuid, charged bigint, shortfall bigint, balance bigint, reserved bigint
);

-- One entry, with the walls: the balance never falls below what is reserved. Tells of thresholds that are passed.
CREATE FUNCTION credits_append(w wallets, p_now timestamptz, p_id uuid, p_kind text, p_amount bigint, p_asked bigint,
                               f credit_facts, p_refund_of bigint) RETURNS wallets LANGUAGE plpgsql AS $$
BEGIN
    UPDATE wallets SET balance = balance + p_amount, entries = entries + 1, updated_at = p_now
    WHERE workspace_id = w.workspace_id AND balance + p_amount >= reserved
    RETURNING * INTO w;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a wallet would fall below what is reserved' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO credit_entries VALUES
        (w.workspace_id, w.entries, p_id, p_now, p_kind, p_amount, w.balance, p_asked, f.reference, f.idempotency_key,
         f.action, f.units, f.price_version, p_refund_of, f.reason, f.actor, coalesce(f.details, '{}'));
    IF p_amount < 0 AND w.low_balance_thresholds <> '{}' THEN
        INSERT INTO outbox_events (workspace_id, at, kind, key, data)
        SELECT w.workspace_id, p_now, 'credits.low_balance',
               'credits.low_balance:' || threshold || ':' || to_char(p_now AT TIME ZONE 'UTC', 'YYYY-MM'),
               jsonb_build_object('threshold', threshold, 'balance', w.balance, 'entry_id', p_id)
        FROM unnest(w.low_balance_thresholds) AS threshold
        WHERE w.balance < threshold AND w.balance - p_amount >= threshold
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN w;
END $$;

CREATE FUNCTION credits_take(p_lot credit_lots, p_entry bigint, p_amount bigint, p_held bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE credit_lots SET remaining = remaining - p_amount, held = held - p_held
    WHERE workspace_id = p_lot.workspace_id AND seq = p_lot.seq;
    INSERT INTO credit_allocations VALUES (p_lot.workspace_id, p_entry, p_lot.seq, -p_amount);
END $$;

-- Takes what the last entry said from the lots that are open, in burn order.
CREATE FUNCTION credits_burn(w wallets, p_now timestamptz, p_amount bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    lot  credit_lots;
    part bigint;
BEGIN
    FOR lot IN
        SELECT * FROM credit_lots
        WHERE workspace_id = w.workspace_id AND is_open AND expires_at > p_now AND remaining > held
        ORDER BY priority, expires_at, source, seq
    LOOP
        part := least(p_amount, lot.remaining - lot.held);
        PERFORM credits_take(lot, w.entries, part, 0);
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
    UPDATE wallets SET reserved = reserved - given_back WHERE workspace_id = w.workspace_id RETURNING * INTO w;
    RETURN w;
END $$;

-- What has run out by now: reservations give back what they hold, lots lose what nobody holds.
CREATE FUNCTION credits_tidy(w wallets, p_now timestamptz) RETURNS wallets LANGUAGE plpgsql AS $$
DECLARE
    stale credit_reservations;
    lot   credit_lots;
    gone  bigint;
BEGIN
    FOR stale IN
        SELECT * FROM credit_reservations
        WHERE workspace_id = w.workspace_id AND state = 'open' AND expires_at <= p_now
        ORDER BY expires_at, id
    LOOP
        w := credits_unhold(w, stale.id);
        UPDATE credit_reservations SET state = 'timed_out', ended_at = p_now
        WHERE workspace_id = w.workspace_id AND id = stale.id;
    END LOOP;
    FOR lot IN
        SELECT * FROM credit_lots
        WHERE workspace_id = w.workspace_id AND is_open AND expires_at <= p_now AND remaining > held
        ORDER BY expires_at, seq
    LOOP
        gone := lot.remaining - lot.held;
        w := credits_append(w, p_now, gen_random_uuid(), 'expiry', -gone, gone,
                            ROW('lot:' || lot.seq, NULL, NULL, NULL, NULL, NULL, 'system',
                                jsonb_build_object('expired_at', lot.expires_at))::credit_facts, NULL);
        PERFORM credits_take(lot, w.entries, gone, 0);
    END LOOP;
    UPDATE wallets SET next_due = least(
        (SELECT min(expires_at) FROM credit_lots
         WHERE workspace_id = w.workspace_id AND is_open AND expires_at > p_now),
        (SELECT min(expires_at) FROM credit_reservations WHERE workspace_id = w.workspace_id AND state = 'open'),
        'infinity')
    WHERE workspace_id = w.workspace_id
    RETURNING * INTO w;
    RETURN w;
END $$;

-- The wallet, locked until the transaction ends, and as it is at p_now. Every statement that follows in the same
-- function sees what was committed before the lock was had.
CREATE FUNCTION credits_open(p_workspace uuid, p_now timestamptz) RETURNS wallets LANGUAGE plpgsql AS $$
DECLARE
    w wallets;
BEGIN
    SELECT * INTO w FROM wallets WHERE workspace_id = p_workspace FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO wallets (workspace_id, created_at, updated_at) VALUES (p_workspace, p_now, p_now)
        ON CONFLICT DO NOTHING;
        SELECT * INTO w FROM wallets WHERE workspace_id = p_workspace FOR UPDATE;
    END IF;
    IF w.next_due <= p_now THEN
        w := credits_tidy(w, p_now);
    END IF;
    RETURN w;
END $$;

-- The first result of a key, or NULL.
CREATE FUNCTION credits_replay(w wallets, p_key text, p_kind text, p_asked bigint, p_sign integer)
RETURNS credit_result LANGUAGE plpgsql AS $$
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
    IF e.kind = p_kind AND sign(e.amount) = p_sign AND e.asked = coalesce(p_asked, e.asked) THEN
        RETURN ROW('replayed', e.id, abs(e.amount), e.asked - abs(e.amount), e.balance_after, w.reserved)::credit_result;
    END IF;
    RETURN ROW('conflict', NULL, 0, 0, w.balance, w.reserved)::credit_result;
END $$;

-- Takes p_amount; of a wallet that holds less nothing, or with p_partly what there is.
CREATE FUNCTION credits_debit(p_workspace uuid, p_now timestamptz, p_id uuid, p_kind text, p_amount bigint,
                              p_partly boolean, f credit_facts) RETURNS credit_result LANGUAGE plpgsql AS $$
DECLARE
    w     wallets := credits_open(p_workspace, p_now);
    earlier credit_result := credits_replay(w, f.idempotency_key, p_kind, p_amount, -1);
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
    w := credits_append(w, p_now, p_id, p_kind, -taken, p_amount, f, NULL);
    PERFORM credits_burn(w, p_now, taken);
    RETURN ROW('done', p_id, taken, p_amount - taken, w.balance, w.reserved)::credit_result;
END $$;

CREATE FUNCTION credits_add_lot(w wallets, p_now timestamptz, p_source text, p_priority smallint, p_amount bigint,
                                p_expires_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO credit_lots VALUES
        (w.workspace_id, w.entries, p_source, p_priority, p_amount, p_amount, 0, p_expires_at, p_now);
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
    earlier credit_result := credits_replay(w, f.idempotency_key, p_kind, p_amount, 1);
BEGIN
    IF earlier.outcome IS NOT NULL THEN
        RETURN earlier;
    END IF;
    w := credits_append(w, p_now, p_id, p_kind, p_amount, p_amount, f, NULL);
    PERFORM credits_add_lot(w, p_now, p_source, p_priority, p_amount, coalesce(p_expires_at, 'infinity'));
    RETURN ROW('done', p_id, p_amount, 0, w.balance, w.reserved)::credit_result;
END $$;

-- Holds p_amount in burn order until it is settled or released, or p_expires_at. `entry_id` is the reservation's id.
CREATE FUNCTION credits_reserve(p_workspace uuid, p_now timestamptz, p_id uuid, p_amount bigint,
                                p_expires_at timestamptz, f credit_facts) RETURNS credit_result
LANGUAGE plpgsql AS $$
DECLARE
    w    wallets := credits_open(p_workspace, p_now);
    r    credit_reservations;
    lot  credit_lots;
    part bigint;
    rest bigint := p_amount;
BEGIN
    IF f.idempotency_key IS NOT NULL THEN
        SELECT * INTO r FROM credit_reservations
        WHERE workspace_id = p_workspace AND idempotency_key = f.idempotency_key;
        IF FOUND THEN
            RETURN ROW(CASE WHEN r.amount = p_amount THEN 'replayed' ELSE 'conflict' END, r.id, 0, 0, w.balance,
                    w.reserved)::credit_result;
        END IF;
    END IF;
    IF p_amount > w.balance - w.reserved THEN
        RETURN ROW('insufficient', NULL, 0, p_amount, w.balance, w.reserved)::credit_result;
    END IF;
    INSERT INTO credit_reservations
        (workspace_id, id, amount, reference, idempotency_key, action, price_version, actor, created_at, expires_at)
    VALUES (p_workspace, p_id, p_amount, f.reference, f.idempotency_key, f.action, f.price_version, f.actor, p_now,
            p_expires_at);
    FOR lot IN
        SELECT * FROM credit_lots
        WHERE workspace_id = p_workspace AND is_open AND expires_at > p_now AND remaining > held
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
    UPDATE wallets SET reserved = reserved + p_amount, next_due = least(next_due, p_expires_at), updated_at = p_now
    WHERE workspace_id = p_workspace
    RETURNING * INTO w;
    RETURN ROW('done', p_id, 0, 0, w.balance, w.reserved)::credit_result;
END $$;

-- Takes p_amount of what is held, beyond it what is free, of the same lots first; gives the rest back. One that has
-- timed out holds nothing any more: the work is done all the same, so what is free is taken.
CREATE FUNCTION credits_settle(p_workspace uuid, p_now timestamptz, p_id uuid, p_reservation uuid, p_amount bigint,
                               p_units bigint, p_details jsonb) RETURNS credit_result LANGUAGE plpgsql AS $$
DECLARE
    w     wallets := credits_open(p_workspace, p_now);
    r     credit_reservations;
    lot   credit_lots;
    part  bigint;
    taken  bigint;
    rest   bigint;
    beyond bigint := 0;
    more   bigint;
    used   bigint;
BEGIN
    SELECT * INTO r FROM credit_reservations WHERE workspace_id = p_workspace AND id = p_reservation;
    IF NOT FOUND THEN
        RETURN ROW('not_found', NULL, 0, 0, w.balance, w.reserved)::credit_result;
    END IF;
    IF r.state = 'settled' AND r.asked = p_amount THEN
        RETURN ROW('replayed', r.entry_id, r.charged, r.asked - r.charged, r.balance_after, w.reserved)::credit_result;
    END IF;
    IF r.state IN ('settled', 'released') THEN
        RETURN ROW('closed', NULL, 0, 0, w.balance, w.reserved)::credit_result;
    END IF;
    IF r.state = 'open' THEN
        UPDATE wallets SET reserved = reserved - r.amount WHERE workspace_id = p_workspace RETURNING * INTO w;
    END IF;
    taken := least(p_amount, w.balance - w.reserved);
    rest := taken;
    IF r.state = 'open' THEN
        beyond := greatest(taken - r.amount, 0);
    END IF;
    IF taken > 0 THEN
        w := credits_append(w, p_now, p_id, 'usage', -taken, p_amount,
                            ROW(r.reference, 'reservation:' || r.id, r.action, p_units, r.price_version, NULL,
                                r.actor, p_details)::credit_facts, NULL);
    END IF;
    FOR lot IN
        SELECT l.* FROM credit_lots l JOIN credit_holds h
            ON h.workspace_id = l.workspace_id AND h.lot_seq = l.seq
        WHERE h.workspace_id = p_workspace AND h.reservation_id = p_reservation
        ORDER BY l.priority, l.expires_at, l.source, l.seq
    LOOP
        DELETE FROM credit_holds
        WHERE workspace_id = p_workspace AND reservation_id = p_reservation AND lot_seq = lot.seq
        RETURNING amount INTO part;
        used := least(rest, part);
        IF lot.expires_at > p_now THEN
            more := least(beyond, lot.remaining - lot.held);
            beyond := beyond - more;
            used := used + more;
        END IF;
        rest := rest - used;
        IF used > 0 THEN
            PERFORM credits_take(lot, w.entries, used, part);
        ELSE
            UPDATE credit_lots SET held = held - part WHERE workspace_id = p_workspace AND seq = lot.seq;
        END IF;
    END LOOP;
    IF rest > 0 THEN
        PERFORM credits_burn(w, p_now, rest);
    END IF;
    UPDATE credit_reservations
    SET state = 'settled', ended_at = p_now, asked = p_amount, charged = taken, balance_after = w.balance,
        entry_id = CASE WHEN taken > 0 THEN p_id END, entry_seq = CASE WHEN taken > 0 THEN w.entries END
    WHERE workspace_id = p_workspace AND id = p_reservation;
    w := credits_tidy(w, p_now);
    RETURN ROW('done', CASE WHEN taken > 0 THEN p_id END, taken, p_amount - taken, w.balance, w.reserved)::credit_result;
END $$;

CREATE FUNCTION credits_release(p_workspace uuid, p_now timestamptz, p_reservation uuid) RETURNS credit_result
LANGUAGE plpgsql AS $$
DECLARE
    w wallets := credits_open(p_workspace, p_now);
    r credit_reservations;
BEGIN
    SELECT * INTO r FROM credit_reservations WHERE workspace_id = p_workspace AND id = p_reservation;
    IF NOT FOUND THEN
        RETURN ROW('not_found', NULL, 0, 0, w.balance, w.reserved)::credit_result;
    END IF;
    IF r.state = 'settled' THEN
        RETURN ROW('closed', NULL, 0, 0, w.balance, w.reserved)::credit_result;
    END IF;
    IF r.state <> 'open' THEN
        RETURN ROW('replayed', NULL, 0, 0, w.balance, w.reserved)::credit_result;
    END IF;
    w := credits_unhold(w, r.id);
    UPDATE credit_reservations SET state = 'released', ended_at = p_now
    WHERE workspace_id = p_workspace AND id = p_reservation;
    w := credits_tidy(w, p_now);
    RETURN ROW('done', NULL, 0, 0, w.balance, w.reserved)::credit_result;
END $$;

-- Gives back p_amount of an entry, or all that is left of it, last burnt first, to the lots it was taken from. What was
-- taken from a lot that has expired since comes as a new lot, which lasts until p_expires_at.
CREATE FUNCTION credits_refund(p_workspace uuid, p_now timestamptz, p_id uuid, p_entry uuid, p_amount bigint,
                               p_expires_at timestamptz, f credit_facts) RETURNS credit_result
LANGUAGE plpgsql AS $$
DECLARE
    w       wallets := credits_open(p_workspace, p_now);
    earlier credit_result := credits_replay(w, f.idempotency_key, 'refund', p_amount, 1);
    e       credit_entries;
    taken   record;
    skipped bigint;
    given   bigint;
    rest    bigint;
    part    bigint;
    revived bigint := 0;
    late    record;
BEGIN
    IF earlier.outcome IS NOT NULL THEN
        RETURN earlier;
    END IF;
    SELECT * INTO e FROM credit_entries
    WHERE workspace_id = p_workspace AND id = p_entry AND amount < 0 AND kind IN ('usage', 'adjustment');
    IF NOT FOUND THEN
        RETURN ROW('not_found', NULL, 0, 0, w.balance, w.reserved)::credit_result;
    END IF;
    SELECT coalesce(sum(amount), 0) INTO skipped FROM credit_entries
    WHERE workspace_id = p_workspace AND refund_of = e.seq;
    given := coalesce(p_amount, -e.amount - skipped);
    IF given > -e.amount - skipped OR given = 0 THEN
        RETURN ROW('excessive', NULL, 0, -e.amount - skipped, w.balance, w.reserved)::credit_result;
    END IF;
    w := credits_append(w, p_now, p_id, 'refund', given, given, f, e.seq);
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
        IF taken.expires_at > p_now THEN
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
        WHERE a.workspace_id = p_workspace AND a.entry_seq = e.seq AND l.expires_at <= p_now;
        PERFORM credits_add_lot(w, p_now, late.source, late.priority, revived, p_expires_at);
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
        w := credits_append(w, p_now, p_id, 'usage', -taken, p_price,
                            ROW(p_request_id, 'tokens:' || p_request_id, 'ai.tokens', p_prompt + p_completion,
                                p_price_version, NULL, p_actor, jsonb_build_object('model', p_model))::credit_facts,
                            NULL);
        PERFORM credits_burn(w, p_now, taken);
    END IF;
    INSERT INTO token_usages VALUES
        (p_workspace, p_request_id, p_now, p_model, p_prompt, p_completion, p_cost, p_metadata, p_price,
         p_price_version, taken, w.balance, CASE WHEN taken > 0 THEN w.entries END);
    RETURN ROW('done', CASE WHEN taken > 0 THEN p_id END, taken, p_price - taken, w.balance, w.reserved)::credit_result;
END $$;
