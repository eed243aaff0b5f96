"""SQL lives in `.sql` files, as blocks that begin with `-- name: NAME` and a line of purpose."""

import re
from collections.abc import Mapping
from importlib.resources import files

_BLOCK = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load_queries(package: str, file: str = "queries.sql") -> Mapping[str, str]:
    """The blocks of `file` in `package`, by name."""
    parts = _BLOCK.split(files(package).joinpath(file).read_text())
    return dict(zip(parts[1::2], (text.strip() for text in parts[2::2]), strict=True))
