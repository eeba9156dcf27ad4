"""One lock per object, so that a check and the write that depends on it are one step."""

import threading
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager


class Locks:
    """Locks by key, made when needed and dropped when nobody holds or awaits them.

    Any thread may use it. Several keys are locked in one order, so that two holders of the same keys never
    wait for each other.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[Hashable, tuple[threading.RLock, int]] = {}

    @contextmanager
    def hold(self, *keys: tuple[str, str]) -> Iterator[None]:
        """Holds the locks of all keys until the block ends."""
        with ExitStack() as stack:
            for key in sorted(set(keys)):
                stack.enter_context(self._hold_one(key))
            yield

    @contextmanager
    def _hold_one(self, key: tuple[str, str]) -> Iterator[None]:
        with self._guard:
            lock, users = self._locks.get(key, (threading.RLock(), 0))
            self._locks[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._locks[key]
                if users == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = (lock, users - 1)
