-- Tenants ---------------------------------------------------------------------------------------------------

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    email         text NOT NULL,
    name          text,
    avatar_url    text,
    provider      text NOT NULL DEFAULT 'local' CHECK (provider IN ('local', 'google')),
    provider_id   text,
    password_hash text,
    role          text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    deleted_at    timestamptz
);
CREATE UNIQUE INDEX users_email ON users (lower(email));
CREATE INDEX users_newest ON users (created_at DESC, id DESC);

CREATE TABLE workspaces (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    personal   boolean NOT NULL DEFAULT false,
    timezone   text NOT NULL DEFAULT 'UTC',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE memberships (
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role         text NOT NULL CHECK (role IN ('owner', 'admin', 'editor', 'viewer', 'billing')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, user_id)
);
CREATE INDEX memberships_of_user ON memberships (user_id);

CREATE TABLE api_keys (
    id           text PRIMARY KEY,            -- the public part of sh_<id>_<secret>
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         text NOT NULL,
    secret_hash  bytea NOT NULL CHECK (octet_length(secret_hash) = 32),   -- SHA-256 of a 160-bit secret
    scopes       text[] NOT NULL DEFAULT '{*}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_of_workspace ON api_keys (workspace_id);

-- Codes -----------------------------------------------------------------------------------------------------

CREATE TABLE domains (
    id            uuid PRIMARY KEY,
    workspace_id  uuid REFERENCES workspaces (id),      -- NULL: the platform's own
    host          text CHECK (host = lower(host)),      -- NULL: the default domain, whatever its Host
    code_case     text NOT NULL DEFAULT 'fold' CHECK (code_case IN ('fold', 'exact')),
    not_found_url text,
    verified_at   timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now()
);
-- Whoever proves to own a host has it; others may have claimed it before.
CREATE UNIQUE INDEX domains_verified_host ON domains (host) WHERE verified_at IS NOT NULL;
INSERT INTO domains (id, verified_at) VALUES ('00000000-0000-7000-8000-000000000001', now());

CREATE TABLE projects (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    user_id      uuid REFERENCES users (id) ON DELETE SET NULL,
    name         text NOT NULL,
    color        text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX projects_of_workspace ON projects (workspace_id, created_at DESC, id DESC);

-- A row is never removed: a deleted code keeps its place, so that it is never given out again.
CREATE TABLE qr_codes (
    id              uuid PRIMARY KEY,
    workspace_id    uuid NOT NULL REFERENCES workspaces (id),
    user_id         uuid REFERENCES users (id),         -- users are anonymised, not removed
    project_id      uuid REFERENCES projects (id),      -- moved out one by one: each is a new version of its route
    domain_id       uuid NOT NULL REFERENCES domains (id),
    short_code      text NOT NULL,
    name            text NOT NULL,
    qr_type         text NOT NULL DEFAULT 'url',
    status          text NOT NULL DEFAULT 'active'
                    CHECK (status IN ('active', 'paused', 'archived', 'deleted', 'banned')),
    ban_reason      text CHECK (ban_reason IN ('abuse', 'legal')),
    version         bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    target_url      text,
    fallback_url    text,
    redirect_status smallint NOT NULL DEFAULT 302 CHECK (redirect_status IN (301, 302, 307, 308)),
    forward_query   jsonb NOT NULL DEFAULT 'false',     -- false, true, or {"pinned": [key, ...]}
    rules           jsonb NOT NULL DEFAULT '[]',
    starts_at       timestamptz,
    expires_at      timestamptz,
    max_scans       bigint CHECK (max_scans > 0),
    password_hash   text,
    tags            text[] NOT NULL DEFAULT '{}',
    design          jsonb NOT NULL DEFAULT '{}',
    type_data       jsonb NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    deleted_at      timestamptz,
    UNIQUE (domain_id, short_code),
    CHECK (starts_at < expires_at)
);
CREATE INDEX qr_codes_of_workspace ON qr_codes (workspace_id, created_at DESC, id DESC);
CREATE INDEX qr_codes_of_project ON qr_codes (project_id) WHERE project_id IS NOT NULL;

-- One row per version of a code: what it said, who changed it and why.
CREATE TABLE qr_code_history (
    qr_id        uuid NOT NULL REFERENCES qr_codes (id) ON DELETE CASCADE,
    version      bigint NOT NULL,
    workspace_id uuid NOT NULL,
    changed_at   timestamptz NOT NULL DEFAULT now(),
    changed_by   text NOT NULL,               -- user:<id>, key:<id>, platform-admin or system
    reason       text,
    snapshot     jsonb NOT NULL,
    PRIMARY KEY (qr_id, version)
);

-- One row per UTC day; ingest keys visitors with it; gone after 48 hours.
CREATE TABLE visitor_salts (
    day        date PRIMARY KEY,
    salt       bytea NOT NULL CHECK (octet_length(salt) = 32),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What the edge may know of a code; version 1 of this contract between the processes.
CREATE VIEW edge_routes_v1 AS
SELECT q.domain_id,
       q.short_code,
       q.workspace_id,
       q.id AS qr_id,
       q.user_id,
       q.project_id,
       q.version,
       q.status,
       q.ban_reason,
       q.target_url,
       q.fallback_url,
       q.redirect_status,
       q.forward_query,
       q.rules,
       q.starts_at,
       q.expires_at,
       q.max_scans,
       q.password_hash
FROM qr_codes q;
