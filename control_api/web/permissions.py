"""Who may do what in a workspace: one table, which every route refers to by the name of a scope.

A scope is `object:read` or `object:write`; `profile` and `memberships` are the caller's own. What a caller may do is
what their role allows and, for a key, its scopes do not leave out. Platform admins stand outside: they belong to no
workspace.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

ALL_SCOPES = "*"


class Role(StrEnum):
    """What a member is in a workspace."""

    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"
    BILLING = "billing"


MANAGERS = frozenset({Role.OWNER, Role.ADMIN})
_EDITORS = MANAGERS | {Role.EDITOR}
_READERS = _EDITORS | {Role.VIEWER}
_PAYERS = MANAGERS | {Role.BILLING}
_ALL = frozenset(Role)

PERMISSIONS: Mapping[str, frozenset[Role]] = {
    "profile:read": _ALL,
    "profile:write": _ALL,
    "memberships:read": _ALL,
    "memberships:write": _ALL,
    "workspace:read": _ALL,
    "workspace:write": MANAGERS,
    "workspace:delete": frozenset({Role.OWNER}),
    "members:read": _ALL,
    "members:write": MANAGERS,
    "api-keys:read": _ALL,  # owners and admins: of every member; others: their own
    "api-keys:write": _ALL,
    "qr-codes:read": _READERS,
    "qr-codes:write": _EDITORS,
    "projects:read": _READERS,
    "projects:write": _EDITORS,
    "domains:read": _READERS,
    "domains:write": MANAGERS,
    "analytics:read": _READERS,
    "credits:read": _ALL,
    "credits:spend": _EDITORS | {Role.BILLING},
    "billing:read": _PAYERS,
    "billing:write": _PAYERS,
    "logs:read": MANAGERS,
    "audit:read": MANAGERS,
}


def is_allowed(scope: str, role: Role, scopes: Iterable[str]) -> bool:
    """`scopes`: those of the key, or `*`."""
    return role in PERMISSIONS[scope] and not {ALL_SCOPES, scope}.isdisjoint(scopes)
