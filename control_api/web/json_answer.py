"""JSON answers, by orjson."""

from typing import Any

import orjson
from starlette.responses import JSONResponse


class JsonAnswer(JSONResponse):
    """What every route answers with unless it says otherwise."""

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)
