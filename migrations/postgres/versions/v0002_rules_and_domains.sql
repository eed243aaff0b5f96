-- A row is never removed: deleted codes keep their place on it, and the sum of the versions never goes back.
ALTER TABLE domains
    ADD COLUMN version    bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN deleted_at timestamptz,
    ADD CHECK (deleted_at IS NULL OR verified_at IS NULL);

-- One row per host and workspace; a host that comes back gets its old row, and with it the codes it once had.
CREATE UNIQUE INDEX domains_host_of_workspace ON domains (workspace_id, host);
CREATE INDEX domains_of_workspace ON domains (workspace_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;

-- What the edge may know of custom domains; version 1 of this contract between the processes.
CREATE VIEW edge_domains_v1 AS
SELECT id, host, code_case, not_found_url
FROM domains
WHERE verified_at IS NOT NULL AND host IS NOT NULL;

-- How often a code with a limit, or with rules on the number of scans, was scanned; Redis counts, this outlives it.
CREATE TABLE scan_counts (
    qr_id      uuid PRIMARY KEY REFERENCES qr_codes (id) ON DELETE CASCADE,
    scans      bigint NOT NULL CHECK (scans >= 0),
    updated_at timestamptz NOT NULL DEFAULT now()
);
