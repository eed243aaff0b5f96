"""A custom domain as the API knows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scanhop.wire.ids import DomainId, WorkspaceId

FOLD, EXACT = "fold", "exact"


@dataclass(frozen=True)
class Domain:
    """A host that a workspace claims; codes can sit on it once it is verified."""

    id: DomainId
    workspace_id: WorkspaceId
    host: str
    code_case: str
    not_found_url: str | None
    verified_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def is_verified(self) -> bool:
        return self.verified_at is not None

    @property
    def is_exact(self) -> bool:
        """Whether the letter case of its codes counts."""
        return self.code_case == EXACT


@dataclass(frozen=True)
class NewDomain:
    """What a domain is to be."""

    host: str
    code_case: str = FOLD
    not_found_url: str | None = None


@dataclass(frozen=True)
class Change:
    """The fields that are to be different, by their names."""

    fields: Mapping[str, Any]

    def is_visible_in(self, domain: Domain) -> bool:
        return any(value != getattr(domain, name) for name, value in self.fields.items())
