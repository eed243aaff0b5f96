"""Who changed what, when and why: a row for each change, written in the change's own transaction. Append-only."""
