"""What was scanned when, where and with what: questions to ClickHouse."""
