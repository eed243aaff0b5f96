-- One row per change of anything, written in the change's own transaction. `workspace_id` NULL: the platform's own.
CREATE TABLE audit_log (
    id           uuid PRIMARY KEY,
    workspace_id uuid,
    at           timestamptz NOT NULL,
    actor        text NOT NULL,               -- user:<id>, key:<id>, platform-admin or system
    action       text NOT NULL,               -- object.done, such as qr_code.created
    object_id    text NOT NULL,
    changes      jsonb NOT NULL DEFAULT '{}',
    reason       text,
    request_id   text
);
CREATE INDEX audit_of_workspace ON audit_log (workspace_id, at DESC, id DESC);
CREATE INDEX audit_of_all ON audit_log (at DESC, id DESC);

-- What was recorded stays as it is, whatever the code above it does.
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

-- The answer to a POST with an Idempotency-Key, written in the transaction of what it did; see control_api/idempotency.
CREATE TABLE idempotency_records (
    id           bytea PRIMARY KEY,           -- SHA-256 of the principal and the key
    created_at   timestamptz NOT NULL,
    request_hash bytea NOT NULL,
    answer       bytea NOT NULL               -- encrypted
);
CREATE INDEX old_idempotency_records ON idempotency_records (created_at);
