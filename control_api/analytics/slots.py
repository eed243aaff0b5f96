"""How many streams may be open at once, in the process and for one owner."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from control_api.web.problem import RETRY_AFTER_S, Problem
from control_api.web.problem_catalogue import ProblemKind

Owner = TypeVar("Owner", bound=Hashable)


class Slots(Generic[Owner]):
    """Of one process: each worker has its own."""

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._held: Counter[Owner] = Counter()

    @contextmanager
    def hold(self, owner: Owner) -> Iterator[None]:
        """Raises Problem when there is none left."""
        if self._held.total() >= self._total or self._held[owner] >= self._each:
            detail = f"At most {self._each} may be open in a workspace, {self._total} in a process of the API."
            raise Problem(ProblemKind.TOO_MANY_STREAMS, detail, headers={"Retry-After": str(RETRY_AFTER_S)})
        self._held[owner] += 1
        try:
            yield
        finally:
            self._held[owner] -= 1
            self._held += Counter()
