-- A page of codes that are narrowed by state or project is read off an index, in order, however many there are.
CREATE INDEX qr_codes_by_status ON qr_codes (workspace_id, status, created_at DESC, id DESC);
DROP INDEX qr_codes_of_project;
CREATE INDEX qr_codes_of_project ON qr_codes (project_id, created_at DESC, id DESC) WHERE project_id IS NOT NULL;
CREATE INDEX qr_codes_of_no_project ON qr_codes (workspace_id, created_at DESC, id DESC) WHERE project_id IS NULL;
