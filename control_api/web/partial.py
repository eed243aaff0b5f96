"""Bodies of PATCH requests: each field may be left out, none may be null, and one at least must be there."""

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
    """Declare each field as `name: Type = absent()`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_describe)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"must hold at least one of {', '.join(type(self).model_fields)}")
        return self
