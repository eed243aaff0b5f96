"""One load test from beginning to end: its workspace, its referee, and the last look at the totals."""

import random
import time
from dataclasses import dataclass

from benchmarks.load_test.referee import Referee
from benchmarks.load_test.running_product import RunningProduct
from benchmarks.load_test.scan_mix import ScanMix
from benchmarks.load_test.workspace import Workspace

SETTLED_WITHIN_S = 30.0


@dataclass(frozen=True)
class Trial:
    """Use `begin`, then `end` once no request is under way."""

    product: RunningProduct
    workspace: Workspace
    referee: Referee
    mix: ScanMix

    @classmethod
    def begin(cls, product: RunningProduct, codes: int, within_s: float) -> "Trial":
        """Raises httpx.HTTPError."""
        workspace = Workspace(product, codes)
        referee = Referee(workspace.targets, within_s)
        return cls(product, workspace, referee, ScanMix(list(workspace.codes), random.Random()))

    def end(self) -> None:
        """Wait until analytics have every answered scan, judge them, and remove the codes."""
        deadline = time.monotonic() + SETTLED_WITHIN_S
        totals = self.workspace.read_totals()
        while self.referee.list_unsettled(totals) and time.monotonic() < deadline:
            time.sleep(0.5)
            totals = self.workspace.read_totals()
        self.referee.judge_settled(totals)
        self.workspace.remove()

    def summary(self) -> str:
        checked = ", ".join(f"{count} {what}" for what, count in sorted(self.referee.checked.items()))
        faults = [f"  {count} x {fault}" for fault, count in self.referee.faults.most_common()]
        return "\n".join([f"checked {checked}; violations: {self.referee.faults.total()}", *faults])
