"""What `GET /v1/qr-codes` may be asked for."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Query

from control_api.qr_codes.code_fields import MAX_TAGS, CodeType, Status
from control_api.qr_codes.model import Search
from control_api.web.moment import Moment
from control_api.web.paging import (
    DEFAULT_LIMIT,
    AskedCursor,
    AskedLimit,
    AskedList,
    SortedPageRequest,
    sorted_page_request,
)
from control_api.web.problem import invalid_parameter
from control_api.web.text import compose

NO_PROJECT = "none"
DEFAULT_DOMAIN = "default"
MAX_TEXT = 200
STORABLE = {"pattern": r"^[^\x00]*$"}  # what `require_storable` takes
_KEY_TYPES = {"created_at": datetime, "updated_at": datetime, "name": str}

Text = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=MAX_TEXT,
        json_schema_extra=STORABLE,
        description="Stands in the name, the short code or the target",
    ),
]
TagList = Annotated[
    str | None,
    Query(json_schema_extra=STORABLE, description="Codes with each of these, a comma between two", examples=["a,b"]),
]
Project = Annotated[str | None, Query(description="Codes of this project; `none`: those of no project")]
Domain = Annotated[
    str | None,
    Query(
        max_length=253,
        json_schema_extra=STORABLE,
        description="The host they sit on; `default`: those of the default domain",
    ),
]
From = Annotated[Moment | None, Query(description="From then on")]
To = Annotated[Moment | None, Query(description="Before then")]


def _search(  # noqa: PLR0913 - FastAPI hands over each by name
    status: Annotated[
        Status | None, Query(description="Only these; without it all but the archived and the deleted")
    ] = None,
    search: Text = None,
    tags: TagList = None,
    project_id: Project = None,
    type: Annotated[CodeType | None, Query()] = None,  # noqa: A002 - the parameter's name
    domain: Domain = None,
    created_from: From = None,
    created_to: To = None,
    updated_from: From = None,
    updated_to: To = None,
) -> Search:
    return Search(
        status=status,
        text=require_storable("search", search),
        tags=_tags(tags),
        project_id=_project(project_id),
        in_no_project=project_id == NO_PROJECT,
        type=type,
        domain=_domain(domain),
        created_from=created_from,
        created_to=created_to,
        updated_from=updated_from,
        updated_to=updated_to,
    )


def _sorted_page(
    list_id: AskedList,
    limit: AskedLimit = DEFAULT_LIMIT,
    cursor: AskedCursor = None,
    sort: Literal["created_at", "updated_at", "name"] = "created_at",
    order: Annotated[
        Literal["asc", "desc"] | None, Query(description="Default: desc for times, asc for names")
    ] = None,
) -> SortedPageRequest:
    is_descending = order == "desc" if order else sort != "name"
    return sorted_page_request(list_id, limit, cursor, sort, is_descending=is_descending, key_types=_KEY_TYPES)


def _tag_page(list_id: AskedList, limit: AskedLimit = DEFAULT_LIMIT, cursor: AskedCursor = None) -> SortedPageRequest:
    return sorted_page_request(list_id, limit, cursor, "tag", is_descending=False, key_types={"tag": str})


def _version_page(
    list_id: AskedList, limit: AskedLimit = DEFAULT_LIMIT, cursor: AskedCursor = None
) -> SortedPageRequest:
    return sorted_page_request(list_id, limit, cursor, "version", is_descending=True, key_types={"version": int})


def _tags(text: str | None) -> tuple[str, ...]:
    """Raises Problem."""
    tags = tuple(tag.strip() for tag in (require_storable("tags", text) or "").split(",") if tag.strip())
    if len(tags) > MAX_TAGS:
        raise invalid_parameter("tags", f"must not be more than {MAX_TAGS}")
    return tags


def _project(text: str | None) -> UUID | None:
    """Raises Problem."""
    try:
        return None if text in (None, NO_PROJECT) else UUID(text)
    except ValueError:
        raise invalid_parameter("project_id", "must be the id of a project, or none") from None


def _domain(text: str | None) -> str | None:
    return "" if text == DEFAULT_DOMAIN else require_storable("domain", text.lower() if text else text)


def require_storable(name: str, text: str | None) -> str | None:
    """The text, composed as what is stored. Raises Problem for what Postgres holds in no text."""
    if text is not None and ("\0" in text or any("\ud800" <= character <= "\udfff" for character in text)):
        raise invalid_parameter(name, "must not contain NUL characters or lone surrogates")
    return None if text is None else compose(text)


AskedSearch = Annotated[Search, Depends(_search)]
AskedSortedPage = Annotated[SortedPageRequest, Depends(_sorted_page)]
AskedVersionPage = Annotated[SortedPageRequest, Depends(_version_page)]
AskedTagPage = Annotated[SortedPageRequest, Depends(_tag_page)]
