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
