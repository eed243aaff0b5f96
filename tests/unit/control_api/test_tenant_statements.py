"""Every statement on a tenant's rows names the workspace."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

import control_api
from scanhop.stores.sql import load_queries

TENANT_TABLES = (
    *("qr_codes", "qr_code_history", "qr_code_scheduled_changes", "projects", "api_keys", "domains"),
    *("qr_scan_events", "daily_aggregates", "audit_log", "invitations", "api_requests"),
    *("wallets", "credit_entries", "credit_lots", "credit_allocations", "credit_reservations", "credit_holds"),
    *("token_usages", "billing_usage", "outbox_events"),
)
EXCEPTIONS = {
    ("analytics/platform.sql", "count_platform"),  # the platform admin's: figures of all tenants
    ("analytics/queries.sql", "list_new_scans"),  # of the workspaces that are listened to; each listener gets its own
    ("analytics/queries.sql", "sum_platform_scans"),  # the platform admin's: figures of all tenants
    ("audit/queries.sql", "list_all_audit"),  # the platform admin's
    ("credits/clickhouse.sql", "count_scans"),  # the worker's: what every workspace is billed for
    ("credits/platform.sql", "list_closed_days"),  # the worker's; what follows names the workspaces it found
    ("credits/platform.sql", "list_due_wallets"),  # as is this
    ("credits/platform.sql", "list_grants_due"),  # and this
    ("credits/platform.sql", "reset_usage"),  # the worker's: days of every workspace are counted anew
    ("credits/platform.sql", "set_qr_created"),  # the worker's: one statement for every workspace, grouped by it
    ("credits/platform.sql", "set_scans_used"),  # the same
    ("credits/proof.sql", "examine"),  # the operator's: the books of every workspace, each held against its own
    ("domains/queries.sql", "lock_domain_by_id"),  # the platform admin's; what follows names the workspace it found
    ("identity/queries.sql", "delete_ended_invitations"),  # the worker's: of every workspace
    ("identity/queries.sql", "delete_invitations_to"),  # of a user who is deleted, wherever they were invited
    ("identity/queries.sql", "find_api_key"),  # it is what says which workspace is meant
    ("identity/queries.sql", "find_invitation_by_token"),  # as is this
    ("identity/queries.sql", "revoke_keys_of_user"),  # of a user who is deleted, wherever they were
    ("qr_codes/queries.sql", "claim_scheduled_change"),  # the worker's; what follows names the workspace it found
    ("qr_codes/queries.sql", "columns"),  # a part of the others
    ("qr_codes/queries.sql", "find_workspace_of"),  # the platform admin's; what follows names the workspace it found
    ("qr_codes/queries.sql", "list_all_qr_codes"),  # the platform admin's
    ("request_log/queries.sql", "list_all_requests"),  # the platform admin's
    ("upkeep/clickhouse.sql", "count_scans"),  # the worker's: codes of several workspaces, which it names
}
FILTER = re.compile(r"\bworkspace_id = (\$1\b|\{workspace_id:UUID\})")
ANY_WORKSPACE = re.compile(r"\$1(::\w+)? IS NULL OR [\w.]*\bworkspace_id\b")
INSERT = re.compile(r"^INSERT INTO \w+ \([^)]*\bworkspace_id\b[^)]*\)\s+(VALUES|SELECT \$1\b)", re.MULTILINE)


def statements() -> list[tuple[str, str, str]]:
    """(file, name, text) of each."""
    return [
        (f"{domain.name}/{file.name}", name, text)
        for domain in files("control_api").iterdir()
        if domain.is_dir()
        for file in domain.iterdir()
        if file.name.endswith(".sql")
        for name, text in load_queries(f"control_api.{domain.name}", file.name).items()
    ]


def touches_tenant_table(text: str) -> bool:
    without_comments = re.sub(r"--.*", "", text)
    return any(re.search(rf"\b(FROM|JOIN|INTO|UPDATE)\s+{table}\b", without_comments) for table in TENANT_TABLES)


def names_workspace(text: str) -> bool:
    return bool((FILTER.search(text) or INSERT.search(text)) and not ANY_WORKSPACE.search(text))


def test_every_statement_on_a_tenant_table_names_the_workspace():
    unguarded = {
        (file, name) for file, name, text in statements() if touches_tenant_table(text) and not names_workspace(text)
    }
    assert unguarded == EXCEPTIONS


def test_the_files_are_found():
    found = {file for file, _, _ in statements()}
    assert found == {f"{path.parent.name}/{path.name}" for path in Path(control_api.__file__).parent.rglob("*.sql")}
    assert {"qr_codes/catalogue.sql", "analytics/platform.sql", "request_log/queries.sql"} <= found


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        ("SELECT id FROM qr_codes WHERE id = $1", False),
        ("SELECT id FROM qr_codes WHERE workspace_id = $1 AND id = $2", True),
        ("SELECT workspace_id FROM qr_codes WHERE id = $1", False),
        ("SELECT id FROM qr_codes WHERE ($1::uuid IS NULL OR qr_codes.workspace_id = $1)", False),
        ("UPDATE api_keys SET name = $2 WHERE id = $1", False),
        ("INSERT INTO qr_codes (workspace_id, id)\nVALUES ($1, $2)", True),
        ("INSERT INTO qr_codes (id)\nVALUES ($1)", False),
    ],
)
def test_the_rule_itself(text, guarded):
    assert touches_tenant_table(text)
    assert names_workspace(text) is guarded
