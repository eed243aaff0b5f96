"""The catalogue of problems and docs/errors.md say the same."""

import re
from pathlib import Path

from control_api.web.problem_catalogue import ProblemKind

DOCUMENT = Path(__file__).parents[3] / "docs" / "errors.md"
ROW = re.compile(r"^\| `(\w+)` \| (\d{3}) \| (.+) \| (.+) \|$", re.MULTILINE)


def test_every_problem_is_documented_with_its_status_once_and_nothing_else_is():
    documented = sorted((code, int(status)) for code, status, _, _ in ROW.findall(DOCUMENT.read_text()))
    assert documented == sorted((kind.code, kind.status) for kind in ProblemKind)


def test_no_two_problems_share_status_and_title():
    """Python would take the second for another name of the first."""
    assert len(ProblemKind.__members__) == len(set(ProblemKind))
