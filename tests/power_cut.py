"""A disk that remembers what is durable, and what it may look like after a power cut.

While a Disk is in use, it stands between the os module and everything below its folder. What it holds to be durable
is the least that POSIX promises: the bytes of a file after its fsync or fdatasync, a name after the fsync of its
directory. All else may have happened or not, each file and each name apart from the others: bytes that were not
synced may be there, be cut off anywhere or be zero; a new file, a rename or a removal may be lost, whatever came
after it.
"""

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

WATCHED = ("open", "write", "ftruncate", "fsync", "fdatasync", "dup", "mkdir", "rename", "unlink", "rmdir")


@dataclass(eq=False)
class Node:
    """A file or directory. `names`: all it had, one after the other, None when it was removed; those up to `durable`
    are past for good. `synced`: its bytes as of the last sync. `last`: its bytes when it was removed."""

    parent: "Node | None"
    is_directory: bool
    names: list[str | None]
    durable: int = 0
    synced: bytes = b""
    last: bytes = b""

    @property
    def path(self) -> Path:
        assert self.parent is not None
        name = self.names[-1]
        assert name is not None
        return self.parent.path / name

    def content(self) -> bytes:
        return self.last if self.names[-1] is None else self.path.read_bytes()


@dataclass(eq=False)
class Folder(Node):
    """The folder that was there before."""

    place: Path = field(default_factory=Path)

    @property
    def path(self) -> Path:
        return self.place


class Disk:
    """`before_change` is called before each call that changes something: a moment at which power may fail."""

    def __init__(self, folder: Path, before_change: Callable[[], None]) -> None:
        self._folder = Folder(None, True, [None], place=folder)
        self._nodes: list[Node] = []
        self._fds: dict[int, Node] = {}
        self._happens = before_change
        self._lock = threading.RLock()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name in WATCHED:
                real = getattr(os, name)
                stack.enter_context(patch.object(os, name, self._watching(getattr(self, f"_{name}"), real)))
            yield

    def _watching(self, watch: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                return watch(real, *arguments, **options)

        return call

    # --- the calls ---

    def _open(self, real: Callable[..., int], path: Any, flags: int, *mode: Any, **options: Any) -> int:
        node = self._find(path, options.get("dir_fd"))
        parent = self._find_parent(path, options.get("dir_fd"))
        if parent is not None and flags & (os.O_CREAT | os.O_TRUNC):
            self._happens()
        fd = real(path, flags, *mode, **options)
        if node is None and parent is not None:
            node = self._add(parent, Path(path).name, is_directory=False)
        self._fds.pop(fd, None)
        if node is not None:
            self._fds[fd] = node
        return fd

    def _write(self, real: Callable[..., int], fd: int, data: bytes) -> int:
        if fd in self._fds:
            self._happens()
        return real(fd, data)

    def _ftruncate(self, real: Callable[..., None], fd: int, size: int) -> None:
        if fd in self._fds:
            self._happens()
        real(fd, size)

    def _dup(self, real: Callable[..., int], fd: int) -> int:
        copy = real(fd)
        self._fds.pop(copy, None)
        if fd in self._fds:
            self._fds[copy] = self._fds[fd]
        return copy

    def _fsync(self, real: Callable[..., None], fd: int) -> None:
        node = self._fds.get(fd)
        if node is None:
            return
        self._happens()
        if not node.is_directory:
            node.synced = node.content()
        for child in self._nodes:
            if child.parent is node:
                child.durable = len(child.names) - 1

    _fdatasync = _fsync

    def _mkdir(self, real: Callable[..., None], path: Any, *mode: Any) -> None:
        parent = self._find_parent(path)
        if parent is None:
            return real(path, *mode)
        self._happens()
        real(path, *mode)
        self._add(parent, Path(path).name, is_directory=True)
        return None

    def _rename(self, real: Callable[..., None], old: Any, new: Any) -> None:
        node, replaced = self._find(old), self._find(new)
        if node is not None:
            self._happens()
            assert self._find_parent(new) is node.parent
        if replaced is not None:
            replaced.last = replaced.content()
        real(old, new)
        if replaced is not None:
            replaced.names.append(None)
        if node is not None:
            node.names.append(Path(new).name)

    def _unlink(self, real: Callable[..., None], path: Any, *, dir_fd: int | None = None) -> None:
        self._remove(real, path, dir_fd)

    def _rmdir(self, real: Callable[..., None], path: Any, *, dir_fd: int | None = None) -> None:
        self._remove(real, path, dir_fd)

    def _remove(self, real: Callable[..., None], path: Any, dir_fd: int | None) -> None:
        node = self._find(path, dir_fd)
        if node is not None:
            self._happens()
            node.last = b"" if node.is_directory else node.content()
        real(path, dir_fd=dir_fd)
        if node is not None:
            node.names.append(None)

    # --- names ---

    def _add(self, parent: Node, name: str, *, is_directory: bool) -> Node:
        """Until its directory is synced it may never have been there."""
        node = Node(parent, is_directory, [None, name])
        self._nodes.append(node)
        return node

    def _find(self, path: Any, dir_fd: int | None = None) -> Node | None:
        wanted = self._absolute(path, dir_fd)
        if wanted == self._folder.path:
            return self._folder
        parent = self._find_parent(path, dir_fd)
        here = (node for node in self._nodes if node.parent is parent and node.names[-1] == wanted.name)
        return next(here, None) if parent is not None else None

    def _find_parent(self, path: Any, dir_fd: int | None = None) -> Node | None:
        wanted = self._absolute(path, dir_fd)
        return self._find(wanted.parent) if wanted.is_relative_to(self._folder.path) else None

    def _absolute(self, path: Any, dir_fd: int | None) -> Path:
        return self._fds[dir_fd].path / path if dir_fd in self._fds else Path(path)

    # --- after the power cut ---

    def build(self, target: Path, chosen: "Choice") -> None:
        """One state that the disk may be found in."""
        places: dict[int, Path] = {id(self._folder): target}
        for node, name in self._names(chosen):
            if name is None or id(node.parent) not in places:
                continue
            place = places[id(node)] = places[id(node.parent)] / name
            if node.is_directory:
                place.mkdir(mode=0o700)
            else:
                place.write_bytes(chosen.content(node))

    def _names(self, chosen: "Choice") -> list[tuple[Node, str | None]]:
        """A name that a later file has got was given up by the one before."""
        found: list[tuple[Node, str | None]] = []
        taken: set[tuple[int, str]] = set()
        for node in reversed(self._nodes):
            at = chosen.position(node)
            while at < len(node.names) - 1 and (id(node.parent), node.names[at]) in taken:
                at += 1
            name = node.names[at]
            if name is not None:
                taken.add((id(node.parent), name))
            found.append((node, name))
        return found[::-1]


class Choice:
    """What of the unsynced has happened: by chance."""

    def __init__(self, chooser: random.Random) -> None:
        self._chooser = chooser

    def position(self, node: Node) -> int:
        return self._chooser.randint(node.durable, len(node.names) - 1)

    def content(self, node: Node) -> bytes:
        new = node.content()
        kept = _common_length(node.synced, new)
        start, end = sorted(self._chooser.randint(kept, len(new)) for _ in range(2))
        zeroed = new[:start] + bytes(end - start)
        return self._chooser.choice([node.synced, new, new[:end], zeroed, zeroed + new[end:]])


class Nothing(Choice):
    """Only what is durable."""

    def __init__(self) -> None:
        super().__init__(random.Random(0))

    def position(self, node: Node) -> int:
        return node.durable

    def content(self, node: Node) -> bytes:
        return node.synced


class Names(Nothing):
    """The names as they were last, of files whose bytes were not written yet."""

    def position(self, node: Node) -> int:
        return len(node.names) - 1


def _common_length(one: bytes, two: bytes) -> int:
    differs_at = (at for at, (first, second) in enumerate(zip(one, two, strict=False)) if first != second)
    return next(differs_at, min(len(one), len(two)))
