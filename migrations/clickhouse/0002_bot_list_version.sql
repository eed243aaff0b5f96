-- By which lists of programs a scan was judged to be a bot's or a person's, so that verdicts can be revised.
ALTER TABLE qr_scan_events ADD COLUMN IF NOT EXISTS bot_list_version LowCardinality(String) AFTER bot_reason;
