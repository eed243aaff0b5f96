"""Which user an engine that refuses root runs as.

An ordinary user: itself. Root: the owner of the engine's directory, so that a directory made by an ordinary user
keeps its owner, or else `nobody`. Owners change only inside the engine's directory.
"""

import os
import pwd
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scanhop.devstack.failure import StackFailed

NOBODY = 65534
_DROP_ROOT = Path(__file__).with_name("drop_root.py")


@dataclass(frozen=True)
class Account:
    """`unprivileged` is None for "as we are"; otherwise the uid and gid to become."""

    unprivileged: tuple[int, int] | None

    def command(self, argv: Sequence[str], death_signal: signal.Signals) -> list[str]:
        """`argv`, run as this account."""
        if self.unprivileged is None:
            return list(argv)
        ids = [str(number) for number in self.unprivileged]
        return [sys.executable, "-I", "-S", str(_DROP_ROOT), *ids, str(int(death_signal)), *argv]

    def take_over(self, directory: Path) -> None:
        """Own `directory` and all in it, where root made or copied it."""
        if self.unprivileged is None or directory.stat().st_uid == self.unprivileged[0]:
            return
        for folder, _, files in os.walk(directory):
            for name in ("", *files):
                os.chown(Path(folder, name), *self.unprivileged, follow_symlinks=False)


def account_for(directory: Path) -> Account:
    """Raises StackFailed when the directory is another user's and we are not root."""
    owner = directory.stat() if directory.exists() else None
    if os.geteuid() != 0:
        require_ownership(directory)
        return Account(None)
    if owner is not None and owner.st_uid != 0:
        return Account((owner.st_uid, owner.st_gid))
    return Account(_nobody())


def require_ownership(directory: Path) -> None:
    """Raises StackFailed when `directory` exists and belongs to another user.

    Root, too, is held to it: files that root leaves in a user's directory would stop that user's next run.
    """
    if not directory.exists() or (owner := directory.stat().st_uid) == os.geteuid():
        return
    raise StackFailed(
        f"{directory} belongs to another user (uid {owner}, we are {os.geteuid()}); run as that user, "
        f"give the directory to this one (chown -R), or choose another data directory"
    )


def _nobody() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return NOBODY, NOBODY
    return entry.pw_uid, entry.pw_gid
