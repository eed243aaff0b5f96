"""Bodies of PATCH requests: a field that is left out stays as it is, and one at least must be there.

Null clears a field whose type allows it, and is refused for every other.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


def absent() -> Any:
    """The value of a field that may be left out. What was sent is in `model_fields_set`."""
    return Field(default=None)


def _describe(schema: dict[str, Any]) -> None:
    schema["minProperties"] = 1
    for each in schema["properties"].values():
        each.pop("default", None)


class Partial(BaseModel):
    """Declare a field as `name: Type = absent()`, one that can be cleared as `name: Type | None = absent()`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_describe)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"must hold at least one of {', '.join(type(self).model_fields)}")
        return self

    def sent_fields(self) -> dict[str, Any]:
        """The fields that are in the body, null ones too."""
        return {name: getattr(self, name) for name in self.model_fields_set}
