"""/v1/qr-codes/{id}/image.svg, .png, .pdf, .eps, and /image by `Accept`."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from control_api.credits.charging import costs
from control_api.images.media_ranges import find_format
from control_api.images.model import MEDIA_TYPES, ImageFormat
from control_api.images.schemas import AskedDesign, file_name
from control_api.images.service import Images
from control_api.web.authentication import MEMBER_PROBLEMS, Member, requires
from control_api.web.guarded_route import GuardedRoute
from control_api.web.problem import Problem, problem_responses
from control_api.web.problem_catalogue import ProblemKind

router = APIRouter(route_class=GuardedRoute, tags=["images"])
Reader = Annotated[Member, requires("qr-codes:read")]

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The image", "content": dict.fromkeys(MEDIA_TYPES.values(), _BYTES)},
    304: {"description": "It is the image that `If-None-Match` names"},
}
_PROBLEMS = (
    *MEMBER_PROBLEMS,
    ProblemKind.NOT_FOUND,
    ProblemKind.INVALID_PARAMETERS,
    ProblemKind.INSUFFICIENT_CREDITS,
    ProblemKind.IMAGES_BUSY,
)


def _images(request: Request) -> Images:
    images: Images = request.app.state.images
    return images


class ImageQuestion:
    """What both routes take, and how both answer."""

    def __init__(
        self,
        qr_id: UUID,
        images: Annotated[Images, Depends(_images)],
        asked: Annotated[AskedDesign, Depends()],
        download: Annotated[bool, Query(description="To be saved under a file name, rather than shown")] = False,
        if_none_match: Annotated[str | None, Header(description="The ETag of the image at hand")] = None,
    ) -> None:
        self._qr_id = qr_id
        self._images = images
        self._asked = asked
        self._download = download
        self._if_none_match = if_none_match or ""

    async def answer(self, caller: Member, image_format: ImageFormat) -> Response:
        """The image is the caller's to keep, and to ask about again: the code's design may change."""
        code = await self._images.get_code(caller.workspace_id, self._qr_id)
        drawing = self._images.plan(code, self._asked.fields, image_format)
        headers = {"ETag": drawing.etag, "Cache-Control": "private, no-cache"}
        if self._is_at_hand(drawing.etag):
            return Response(status_code=304, headers=headers)
        if self._download:
            headers["Content-Disposition"] = f'attachment; filename="{file_name(code, drawing)}"'
        return Response(await self._images.draw(drawing), 200, headers, image_format.media_type)

    def _is_at_hand(self, etag: str) -> bool:
        """The weak comparison, as RFC 9110 wants it here."""
        tags = {tag.strip().removeprefix("W/") for tag in self._if_none_match.split(",")}
        return not tags.isdisjoint({etag, "*"})


Question = Annotated[ImageQuestion, Depends()]


@router.get(
    "/v1/qr-codes/{qr_id}/image.{extension}",
    summary="Draw the symbol of a QR code",
    response_class=Response,
    responses=_ANSWERS | problem_responses(*_PROBLEMS),
)
@costs("image.rendered")
async def draw_image(extension: ImageFormat, caller: Reader, question: Question) -> Response:
    """The smallest symbol that leads to the code. What is not asked for, the code's `design` says."""
    return await question.answer(caller, extension)


@router.get(
    "/v1/qr-codes/{qr_id}/image",
    summary="Draw the symbol of a QR code, in a format by Accept",
    response_class=Response,
    responses=_ANSWERS | problem_responses(*_PROBLEMS, ProblemKind.NOT_ACCEPTABLE),
)
@costs("image.rendered")
async def draw_image_by_accept(
    caller: Reader,
    question: Question,
    accept: Annotated[str, Header(description="Without it: SVG", examples=["image/png"])] = "",
) -> Response:
    """As the route with an ending, which is what to link to."""
    image_format = find_format(accept)
    if image_format is None:
        raise Problem(ProblemKind.NOT_ACCEPTABLE, f"There is the image as {', '.join(MEDIA_TYPES.values())}.")
    response = await question.answer(caller, image_format)
    response.headers["Vary"] = "Accept"
    return response
