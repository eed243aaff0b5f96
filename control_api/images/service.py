"""Finds what an image is of, and has it drawn.

Drawing is pure CPU work of some milliseconds, in a thread, so that the loop goes on serving. Threads share the
interpreter with the loop, so few draw at once; the others wait, up to a bound, beyond which they are told to come
again. Nothing is stored: an image is a function of the code and the question.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from control_api.design import UnusableDesign, parse_design
from control_api.images.drawing import Drawing, draw
from control_api.images.model import ImageFormat, PrintedCode
from control_api.images.repository import PrintedCodeRepository
from control_api.web.problem import Problem, invalid_parameter, not_found
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.postgres import Postgres
from scanhop.wire.ids import WorkspaceId

DRAWN_AT_ONCE = 2
MAX_WAITING = 64
RETRY_AFTER_S = 1


class Images:
    """Raises Problem, StoreUnavailable."""

    def __init__(self, postgres: Postgres, repository: PrintedCodeRepository, public_url: str) -> None:
        self._postgres = postgres
        self._repository = repository
        self._public_url = public_url
        self._turns = asyncio.Semaphore(DRAWN_AT_ONCE)
        self._waiting = 0

    async def get_code(self, workspace_id: WorkspaceId, qr_id: UUID) -> PrintedCode:
        async with self._postgres.connection() as connection:
            code = await self._repository.find(connection, workspace_id, qr_id)
        if code is None:
            raise not_found("QR code")
        return code

    def plan(self, code: PrintedCode, asked: Mapping[str, Any], image_format: ImageFormat) -> Drawing:
        """By the code's own design, but for what is `asked` otherwise."""
        try:
            design = parse_design(code.design).with_asked(asked)
        except UnusableDesign as error:
            raise invalid_parameter(error.name, str(error)) from None
        return Drawing(code.short_url(self._public_url), design, image_format)

    async def draw(self, drawing: Drawing) -> bytes:
        if self._waiting >= MAX_WAITING:
            detail = f"{MAX_WAITING} images are waiting to be drawn."
            raise Problem(ProblemKind.IMAGES_BUSY, detail, headers={"Retry-After": str(RETRY_AFTER_S)})
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(draw, drawing)
        except UnusableDesign as error:
            raise invalid_parameter(error.name, str(error)) from None
        finally:
            self._waiting -= 1
