"""/v1/workspaces with their members and invitations."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from control_api.identity.invitations import Invitations
from control_api.identity.members import Members
from control_api.identity.model import OwnWorkspace
from control_api.identity.service import Workspaces
from control_api.identity.workspace_schemas import (
    Acceptance,
    InvitationPage,
    InvitationWanted,
    MemberAnswer,
    MemberChange,
    MemberPage,
    NewInvitationAnswer,
    OwnWorkspaceAnswer,
    WorkspaceChange,
    WorkspacePage,
    WorkspaceWanted,
)
from control_api.web.authentication import MEMBER_PROBLEMS, Member, requires
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.paging import AskedPage
from control_api.web.problem import problem_responses
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import IfMatch, etag

router = APIRouter(route_class=GuardedRoute)
_PAGE_PROBLEMS = (ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS)
_MEMBER_CHANGE_PROBLEMS = (
    ProblemKind.NOT_FOUND,
    ProblemKind.OWNER_NEEDED,
    ProblemKind.LAST_OWNER,
    ProblemKind.PERSONAL_WORKSPACE,
    ProblemKind.STALE_VERSION,
)


def _workspaces(request: Request) -> Workspaces:
    workspaces: Workspaces = request.app.state.workspaces
    return workspaces


def _members(request: Request) -> Members:
    members: Members = request.app.state.members
    return members


def _invitations(request: Request) -> Invitations:
    invitations: Invitations = request.app.state.invitations
    return invitations


WorkspacesService = Annotated[Workspaces, Depends(_workspaces)]
MembersService = Annotated[Members, Depends(_members)]
InvitationsService = Annotated[Invitations, Depends(_invitations)]


@router.post(
    "/v1/workspaces",
    tags=["workspaces"],
    summary="Create a workspace",
    status_code=201,
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.SIGN_IN_NEEDED),
)
async def create_workspace(
    wanted: WorkspaceWanted,
    caller: Annotated[Member, requires("memberships:write")],
    workspaces: WorkspacesService,
    response: Response,
) -> OwnWorkspaceAnswer:
    """The caller, who is signed in, owns it, and works in it by the header `Scanhop-Workspace`."""
    own = await workspaces.create(caller, wanted.name, wanted.timezone)
    response.headers["Location"] = f"/v1/workspaces/{own.workspace.id}"
    response.headers["ETag"] = etag(own.workspace.version)
    return OwnWorkspaceAnswer.of_own(own)


@router.get(
    "/v1/workspaces",
    tags=["workspaces"],
    summary="List the own workspaces",
    responses=problem_responses(*MEMBER_PROBLEMS, *_PAGE_PROBLEMS),
)
async def list_workspaces(
    caller: Annotated[Member, requires("memberships:read")], workspaces: WorkspacesService, page: AskedPage
) -> WorkspacePage:
    """Newest first; a key knows of its own alone."""
    return WorkspacePage.of(await workspaces.list(caller, page))


@router.get(
    "/v1/workspaces/{workspace_id}",
    tags=["workspaces"],
    summary="Get a workspace",
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def get_workspace(
    workspace_id: UUID,
    caller: Annotated[Member, requires("workspace:read")],
    workspaces: WorkspacesService,
    response: Response,
) -> OwnWorkspaceAnswer:
    """One that the caller is in."""
    workspace = await workspaces.get(caller.workspace_id)
    response.headers["ETag"] = etag(workspace.version)
    return OwnWorkspaceAnswer.of_own(OwnWorkspace(workspace, caller.role))


@router.patch(
    "/v1/workspaces/{workspace_id}",
    tags=["workspaces"],
    summary="Change a workspace",
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.STALE_VERSION),
)
async def change_workspace(  # noqa: PLR0913 - FastAPI hands over each by name
    workspace_id: UUID,
    change: WorkspaceChange,
    caller: Annotated[Member, requires("workspace:write")],
    workspaces: WorkspacesService,
    response: Response,
    if_match: IfMatch = None,
) -> OwnWorkspaceAnswer:
    """Its name and its time zone."""
    own = await workspaces.update(caller, change.sent_fields(), if_match)
    response.headers["ETag"] = etag(own.workspace.version)
    return OwnWorkspaceAnswer.of_own(own)


@router.delete(
    "/v1/workspaces/{workspace_id}",
    tags=["workspaces"],
    summary="Delete a workspace",
    status_code=204,
    response_class=Response,
    responses=problem_responses(
        *MEMBER_PROBLEMS,
        ProblemKind.NOT_FOUND,
        ProblemKind.PERSONAL_WORKSPACE,
        ProblemKind.WORKSPACE_IN_USE,
        ProblemKind.STALE_VERSION,
    ),
)
async def delete_workspace(
    workspace_id: UUID,
    caller: Annotated[Member, requires("workspace:delete")],
    workspaces: WorkspacesService,
    if_match: IfMatch = None,
) -> None:
    """Only when no code and no domain is left in it: printed codes never lead nowhere by accident."""
    await workspaces.delete(caller, if_match)


@router.get(
    "/v1/workspaces/{workspace_id}/members",
    tags=["members"],
    summary="List members",
    responses=problem_responses(*MEMBER_PROBLEMS, *_PAGE_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def list_members(
    workspace_id: UUID,
    caller: Annotated[Member, requires("members:read")],
    members: MembersService,
    page: AskedPage,
) -> MemberPage:
    """The latest first."""
    return MemberPage.of(await members.list(caller, page))


@router.patch(
    "/v1/workspaces/{workspace_id}/members/{user_id}",
    tags=["members"],
    summary="Change the role of a member",
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS, *_MEMBER_CHANGE_PROBLEMS),
)
async def change_member(  # noqa: PLR0913 - FastAPI hands over each by name
    workspace_id: UUID,
    user_id: UUID,
    change: MemberChange,
    caller: Annotated[Member, requires("members:write")],
    members: MembersService,
    response: Response,
    if_match: IfMatch = None,
) -> MemberAnswer:
    """A workspace keeps one owner at least; only owners make and change owners."""
    member = await members.change_role(caller, user_id, change.role, if_match)
    response.headers["ETag"] = etag(member.version)
    return MemberAnswer.of(member)


@router.delete(
    "/v1/workspaces/{workspace_id}/members/{user_id}",
    tags=["members"],
    summary="Remove a member",
    status_code=204,
    response_class=Response,
    responses=problem_responses(*MEMBER_PROBLEMS, *_MEMBER_CHANGE_PROBLEMS),
)
async def remove_member(
    workspace_id: UUID,
    user_id: UUID,
    caller: Annotated[Member, requires("members:write")],
    members: MembersService,
    if_match: IfMatch = None,
) -> None:
    """Their keys of the workspace are revoked; what they made stays."""
    await members.remove(caller, user_id, if_match)


@router.delete(
    "/v1/workspaces/{workspace_id}/membership",
    tags=["members"],
    summary="Leave a workspace",
    status_code=204,
    response_class=Response,
    responses=problem_responses(*MEMBER_PROBLEMS, *_MEMBER_CHANGE_PROBLEMS),
)
async def leave_workspace(
    workspace_id: UUID,
    caller: Annotated[Member, requires("memberships:write")],
    members: MembersService,
    if_match: IfMatch = None,
) -> None:
    """The last owner cannot, nor anybody their personal one."""
    await members.leave(caller, if_match)


@router.post(
    "/v1/workspaces/{workspace_id}/invitations",
    tags=["members"],
    summary="Invite somebody",
    status_code=201,
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.OWNER_NEEDED),
)
async def create_invitation(
    workspace_id: UUID,
    wanted: InvitationWanted,
    caller: Annotated[Member, requires("members:write")],
    invitations: InvitationsService,
) -> NewInvitationAnswer:
    """Good for a week, in place of an open one to the same address. Hand the token on: it is answered this once."""
    return NewInvitationAnswer.of_new(await invitations.create(caller, wanted.email, wanted.role))


@router.get(
    "/v1/workspaces/{workspace_id}/invitations",
    tags=["members"],
    summary="List open invitations",
    responses=problem_responses(*MEMBER_PROBLEMS, *_PAGE_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def list_invitations(
    workspace_id: UUID,
    caller: Annotated[Member, requires("members:write")],
    invitations: InvitationsService,
    page: AskedPage,
) -> InvitationPage:
    """Newest first."""
    return InvitationPage.of(await invitations.list(caller, page))


@router.delete(
    "/v1/workspaces/{workspace_id}/invitations/{invitation_id}",
    tags=["members"],
    summary="Revoke an invitation",
    status_code=204,
    response_class=Response,
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def revoke_invitation(
    workspace_id: UUID,
    invitation_id: UUID,
    caller: Annotated[Member, requires("members:write")],
    invitations: InvitationsService,
) -> None:
    """Its token opens nothing any more."""
    await invitations.revoke(caller, invitation_id)


@router.post(
    "/v1/invitations/accept",
    tags=["members"],
    summary="Accept an invitation",
    responses=problem_responses(
        *MEMBER_PROBLEMS,
        *BODY_PROBLEMS,
        ProblemKind.SIGN_IN_NEEDED,
        ProblemKind.NOT_FOUND,
        ProblemKind.INVITATION_NOT_YOURS,
    ),
)
async def accept_invitation(
    wanted: Acceptance,
    caller: Annotated[Member, requires("memberships:write")],
    invitations: InvitationsService,
) -> OwnWorkspaceAnswer:
    """For the signed-in user with the invited address. Who is in the workspace already keeps their role."""
    return OwnWorkspaceAnswer.of_own(await invitations.accept(caller, wanted.token))
