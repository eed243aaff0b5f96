-- What the owner of a banned code is told besides the reason.
ALTER TABLE qr_codes ADD COLUMN ban_note text;

-- A cursor of each order goes on in its index; `name` is compared in lower case.
CREATE INDEX qr_codes_by_update ON qr_codes (workspace_id, updated_at DESC, id DESC);
CREATE INDEX qr_codes_by_name ON qr_codes (workspace_id, lower(name), id);
CREATE INDEX qr_codes_by_tag ON qr_codes USING gin (tags);
-- For platform admins, who look through every workspace; newest first is by id.
CREATE INDEX qr_codes_by_short_code ON qr_codes (short_code);

ALTER TABLE projects
    ADD COLUMN version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    ADD CHECK (color ~ '^#[0-9a-f]{6}$');

-- Changes of codes that are to happen at a time. The worker applies each in the transaction that says so here.
CREATE TABLE qr_code_scheduled_changes (
    id            uuid PRIMARY KEY,
    workspace_id  uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    qr_id         uuid NOT NULL REFERENCES qr_codes (id) ON DELETE CASCADE,
    at            timestamptz NOT NULL,
    change        jsonb NOT NULL,             -- fields by their names; of a password only that it is set or removed
    password_hash text,
    reason        text,
    status        text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'applied', 'failed', 'cancelled')),
    failure       text,                       -- why it failed, for its author
    version       bigint,                     -- the version of the code that it made
    user_id       uuid REFERENCES users (id),
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL,
    settled_at    timestamptz
);
CREATE INDEX scheduled_changes_due ON qr_code_scheduled_changes (at, id) WHERE status = 'pending';
CREATE INDEX scheduled_changes_of_code ON qr_code_scheduled_changes (workspace_id, qr_id, at, id);
