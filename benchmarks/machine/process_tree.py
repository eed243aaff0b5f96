"""CPU time and memory of a process and all below it.

CPU is the sum of /proc/PID/task/*/schedstat, the time that each thread was on a core (user and system together) in
nanoseconds; the ticks of /proc/PID/stat are 10 ms. A thread that ended is no longer in that sum, so none may end
while it is measured: a change of the tree's processes raises TreeChanged.
"""

import os
from dataclasses import dataclass
from pathlib import Path


class TreeChanged(Exception):
    """A process of the tree ended or began meanwhile: the difference of two readings means nothing."""


@dataclass(frozen=True)
class CpuReading:
    """Nanoseconds on a core since each process of `pids` began."""

    pids: frozenset[int]
    ns: int

    def since(self, earlier: "CpuReading") -> int:
        """Raises TreeChanged."""
        if self.pids != earlier.pids:
            raise TreeChanged(f"processes {sorted(earlier.pids)} became {sorted(self.pids)}")
        return self.ns - earlier.ns


def read_cpu(root: int) -> CpuReading:
    pids = list_tree(root)
    return CpuReading(frozenset(pids), sum(_on_core_ns(pid) for pid in pids))


def cpu_seconds(pid: int) -> float:
    """User and system together, of threads that have ended too; in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def list_tree(root: int) -> list[int]:
    """`root` and its descendants, parents first."""
    found = [root]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found.extend(int(child) for child in children.read_text().split())
    return found


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def _on_core_ns(pid: int) -> int:
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads)
