"""Versions of an object as entity tags (RFC 9110, section 8.8.3)."""

from typing import Annotated

from fastapi import Header

from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind

IfMatch = Annotated[
    str | None,
    Header(description='Do it only if the version is still this one, as the ETag said, for instance `"3"`'),
]


def etag(version: int) -> str:
    return f'"{version}"'


def require_version(if_match: str | None, version: int) -> None:
    """Raises Problem if the sender has seen another version. Without `If-Match` any version will do."""
    if if_match is None:
        return
    accepted = {tag.strip() for tag in if_match.split(",")}
    if accepted.isdisjoint({"*", etag(version)}):
        raise Problem(ProblemKind.STALE_VERSION, f"The version is {version} now.", headers={"ETag": etag(version)})
