"""Rows of the view `edge_routes_v1`, as Postgres gives them."""

from tests.routes import new_id


def row(**fields: object) -> dict[str, object]:
    """A row of an active code; `fields` replace what it says."""
    usual = {
        "domain_id": new_id(),
        "short_code": "menu",
        "workspace_id": new_id(),
        "qr_id": new_id(),
        "user_id": new_id(),
        "project_id": new_id(),
        "version": 3,
        "status": "active",
        "ban_reason": None,
        "target_url": "https://example.com/",
        "fallback_url": None,
        "redirect_status": 302,
        "forward_query": False,
        "rules": [],
        "starts_at": None,
        "expires_at": None,
        "max_scans": None,
        "password_hash": None,
    }
    return usual | fields
