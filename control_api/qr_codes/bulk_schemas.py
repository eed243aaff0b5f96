"""Many codes in one call as JSON: each item is read by itself, and so is refused by itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator

from control_api.qr_codes.code_fields import Reason
from control_api.qr_codes.model import Edit, NewQrCode, QrCode
from control_api.qr_codes.schemas import ChangedFields, QrCodeAnswer, QrCodeWanted
from control_api.web.problem import InvalidParameter, Problem, invalid_parameters_of
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import etag

MAX_ITEMS = 1000
AS_IT_IS = WrapValidator(lambda raw, _: raw)  # described as its model, which reads it later

Outcome = QrCode | Problem
Parsed = TypeVar("Parsed")


class QrCodeItem(ChangedFields):
    """One change in a bulk: the fields as in PATCH, for the code with that id."""

    id: UUID
    version: Annotated[
        int | None, Field(ge=1, description="Change it only if its version is still this one, as If-Match does")
    ] = None
    reason: Reason | None = None

    def to_edit(self) -> Edit:
        return Edit(self.id, self.to_model(), None if self.version is None else etag(self.version), self.reason)


class QrCodesWanted(BaseModel):
    """Codes to create; each item as in POST /v1/qr-codes."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[Annotated[QrCodeWanted, AS_IT_IS]], Field(min_length=1, max_length=MAX_ITEMS)]

    def to_models(self) -> list[NewQrCode | Problem]:
        return [_parse(item, lambda raw: QrCodeWanted.model_validate(raw).to_model()) for item in self.items]


class QrCodeChanges(BaseModel):
    """Codes to change; each item as in PATCH /v1/qr-codes/{id}, with the id beside the fields."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[Annotated[QrCodeItem, AS_IT_IS]], Field(min_length=1, max_length=MAX_ITEMS)]

    def to_models(self) -> list[Edit | Problem]:
        """A code can be changed once in a call."""
        edits = [_parse(item, lambda raw: QrCodeItem.model_validate(raw).to_edit()) for item in self.items]
        seen: set[UUID] = set()
        for place, edit in enumerate(edits):
            if isinstance(edit, Edit):
                if edit.qr_id in seen:
                    edits[place] = _invalid([InvalidParameter(name="id", reason="is in the list twice")])
                seen.add(edit.qr_id)
        return edits


class ItemProblem(BaseModel):
    """Why an item was refused; as the same request for this code alone would say."""

    code: str
    title: str
    detail: str
    invalid_parameters: list[InvalidParameter] | None = None


class ItemResult(BaseModel):
    """What became of the item at `index`: the code, or the problem."""

    index: int
    status: int = Field(description="What the same request for this code alone would have answered")
    qr_code: QrCodeAnswer | None = None
    problem: ItemProblem | None = None


class BulkResult(BaseModel):
    """A result for each item, in their order."""

    data: list[ItemResult]
    succeeded: int
    failed: int

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], success: int, public_url: str) -> "BulkResult":
        results = [_result(index, outcome, success, public_url) for index, outcome in enumerate(outcomes)]
        failed = sum(result.problem is not None for result in results)
        return cls(data=results, succeeded=len(results) - failed, failed=failed)


def _parse(raw: object, parse: Callable[[Mapping[str, Any]], Parsed]) -> Parsed | Problem:
    if not isinstance(raw, dict):
        return _invalid([InvalidParameter(name="item", reason="must be an object")])
    try:
        return parse(raw)
    except ValidationError as error:
        return _invalid(invalid_parameters_of(error.errors()))


def _invalid(parameters: Sequence[InvalidParameter]) -> Problem:
    detail = "; ".join(f"{each.name}: {each.reason}" for each in parameters[:3])
    return Problem(ProblemKind.INVALID_PARAMETERS, detail, invalid_parameters=parameters)


def _result(index: int, outcome: Outcome, success: int, public_url: str) -> ItemResult:
    if isinstance(outcome, QrCode):
        return ItemResult(index=index, status=success, qr_code=QrCodeAnswer.of(outcome, public_url))
    kind = outcome.kind
    listed = list(outcome.invalid_parameters) or None
    problem = ItemProblem(code=kind.code, title=kind.title, detail=outcome.detail, invalid_parameters=listed)
    return ItemResult(index=index, status=kind.status, problem=problem)
