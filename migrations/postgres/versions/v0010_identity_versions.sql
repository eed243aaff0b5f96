-- What If-Match compares with, as for codes: one more with each change that an answer shows.
ALTER TABLE users ADD COLUMN version bigint NOT NULL DEFAULT 1 CHECK (version > 0);
ALTER TABLE workspaces ADD COLUMN version bigint NOT NULL DEFAULT 1 CHECK (version > 0);
ALTER TABLE memberships ADD COLUMN version bigint NOT NULL DEFAULT 1 CHECK (version > 0);
