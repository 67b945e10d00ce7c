"""What was found out about modules, by their digests: the latest few, for the whole process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["Recent"]

V = TypeVar("V")


class Recent(Generic[V]):
    """Values by the digest of a module; of too many, the one that was longest not asked for goes.

    May be used by several threads.

    Args:
        capacity: How many are kept.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, V] = OrderedDict()

    def get(self, sha256: str) -> V | None:
        """Return what is known of the module, or None."""
        with self._lock:
            found = self._kept.get(sha256)
            if found is not None:
                self._kept.move_to_end(sha256)
            return found

    def put(self, sha256: str, value: V) -> None:
        """Keep what is known of the module, in the place of what was known before."""
        with self._lock:
            self._kept[sha256] = value
            self._kept.move_to_end(sha256)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
