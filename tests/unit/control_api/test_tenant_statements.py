"""Every statement on a tenant's rows names the workspace."""

import re
from importlib.resources import files

import pytest

from scanhop.stores.sql import load_queries

TENANT_TABLES = (
    *("qr_codes", "qr_code_history", "qr_code_scheduled_changes", "projects", "api_keys", "domains"),
    *("qr_scan_events", "audit_log", "invitations", "api_requests"),
    *("wallets", "credit_entries", "credit_lots", "credit_reservations", "billing_usage", "outbox_events"),
)
EXCEPTIONS = {
    ("request_log", "list_all_requests"),  # the platform admin's
    ("analytics", "list_new_scans"),  # of the workspaces that are listened to; each listener gets its own
    ("identity", "find_api_key"),  # it is what says which workspace is meant
    ("identity", "find_invitation_by_token"),  # as is this
    ("identity", "revoke_keys_of_user"),  # of a user who is deleted, wherever they were
    ("qr_codes", "columns"),  # a part of the others
    ("qr_codes", "find_workspace_of"),  # the platform admin's; what follows names the workspace it found
    ("qr_codes", "claim_scheduled_change"),  # the worker's; what follows names the workspace it found
    ("domains", "lock_domain_by_id"),  # the platform admin's; what follows names the workspace it found
}
FILTER = re.compile(r"\bworkspace_id = (\$1\b|\{workspace_id:UUID\})")
INSERT = re.compile(r"^INSERT INTO \w+ \([^)]*\bworkspace_id\b[^)]*\)\s+(VALUES|SELECT \$1\b)", re.MULTILINE)


def statements() -> list[tuple[str, str, str]]:
    domains = [folder for folder in files("control_api").iterdir() if folder.joinpath("queries.sql").is_file()]
    return [
        (domain.name, name, text)
        for domain in domains
        for name, text in load_queries(f"control_api.{domain.name}").items()
    ]


def touches_tenant_table(text: str) -> bool:
    without_comments = re.sub(r"--.*", "", text)
    return any(re.search(rf"\b(FROM|JOIN|INTO|UPDATE)\s+{table}\b", without_comments) for table in TENANT_TABLES)


def names_workspace(text: str) -> bool:
    return bool(FILTER.search(text) or INSERT.search(text))


def test_every_statement_on_a_tenant_table_names_the_workspace():
    unguarded = {
        (domain, name)
        for domain, name, text in statements()
        if touches_tenant_table(text) and not names_workspace(text)
    }
    assert unguarded == EXCEPTIONS


def test_the_files_are_found():
    assert {domain for domain, _, _ in statements()} == {
        "analytics",
        "audit",
        "credits",
        "domains",
        "idempotency",
        "identity",
        "images",
        "jobs",
        "projects",
        "qr_codes",
        "request_log",
    }


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        ("SELECT id FROM qr_codes WHERE id = $1", False),
        ("SELECT id FROM qr_codes WHERE workspace_id = $1 AND id = $2", True),
        ("SELECT workspace_id FROM qr_codes WHERE id = $1", False),
        ("UPDATE api_keys SET name = $2 WHERE id = $1", False),
        ("INSERT INTO qr_codes (workspace_id, id)\nVALUES ($1, $2)", True),
        ("INSERT INTO qr_codes (id)\nVALUES ($1)", False),
    ],
)
def test_the_rule_itself(text, guarded):
    assert touches_tenant_table(text)
    assert names_workspace(text) is guarded
