"""A program that gives up root and then becomes another program.

Run by file name, not imported: `python -I -S drop_root.py UID GID DEATH_SIGNAL PROGRAM ARGUMENT...`, with nothing but
the standard library.

Postgres refuses to run as root, yet a data directory (or the wheel with its binaries) often lies below a folder
closed to everyone else: /root, or a temporary directory with mode 0700. So the new user keeps one capability, the one
to pass closed folders: CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE where a container grants only that. With neither, the
program starts all the same and fails by itself where a folder is closed.

Changing the user clears the parent-death signal, hence its number here.
"""

import ctypes
import os
import struct
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_GET_SECUREBITS = 27
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *arguments: int) -> int:
    values = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    result = int(_libc.prctl(option, *values))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _permitted_capabilities() -> int:
    header = ctypes.create_string_buffer(struct.pack("=Ii", CAPABILITY_VERSION_3, 0))
    sets = ctypes.create_string_buffer(24)
    if _libc.capget(header, sets) != 0:
        return 0
    permitted_low = struct.unpack("=6I", sets.raw)[1]
    return int(permitted_low)


def _keep_only(capability: int) -> None:
    header = ctypes.create_string_buffer(struct.pack("=Ii", CAPABILITY_VERSION_3, 0))
    mask = 1 << capability
    if _libc.capset(header, ctypes.create_string_buffer(struct.pack("=6I", mask, mask, mask, 0, 0, 0))) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def _change_user(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def drop_root(uid: int, gid: int) -> None:
    """Become `uid`, keeping at most the capability to pass closed folders."""
    held = _permitted_capabilities()
    capability = next((c for c in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if held >> c & 1), None)
    if capability is None:
        _change_user(uid, gid)
        return
    _prctl(PR_SET_KEEPCAPS, 1)
    try:
        # Without this bit access(2), with which Postgres looks at its own binaries, ignores the capability.
        _prctl(PR_SET_SECUREBITS, _prctl(PR_GET_SECUREBITS) | SECBIT_NO_SETUID_FIXUP)
    except OSError as error:
        sys.stderr.write(f"drop_root: closed folders may stop the program: {error}\n")
    _change_user(uid, gid)
    _keep_only(capability)


def main(arguments: list[str]) -> None:
    uid, gid, death_signal = (int(argument) for argument in arguments[:3])
    parent = os.getppid()
    drop_root(uid, gid)
    _prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # the parent died before the line above
        raise SystemExit(1)
    os.execv(arguments[3], arguments[3:])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
