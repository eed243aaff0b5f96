"""A dict that drops what was stored first rather than grow beyond its bound."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedMap(Generic[Key, Value]):
    """`entries` is for reading: the path of every scan looks into it without a call.

    Ordered, since to find the first entry of a dict that has lost many takes a walk over the gaps they left.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.entries: OrderedDict[Key, Value] = OrderedDict()

    def find(self, key: Key) -> Value | None:
        return self.entries.get(key)

    def store(self, key: Key, value: Value) -> Value | None:
        """The value that gave way to it, of another key."""
        self.entries[key] = value
        self.entries.move_to_end(key)
        return self.entries.popitem(last=False)[1] if len(self.entries) > self._limit else None

    def drop(self, key: Key) -> None:
        self.entries.pop(key, None)

    def __len__(self) -> int:
        return len(self.entries)
