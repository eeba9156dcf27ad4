"""Worker threads that all runs share fairly."""

import threading
from collections import deque
from collections.abc import Callable


class Pool:
    """Runs jobs in at most `size` daemon threads, one job of each owner in turn.

    So a large run does not starve another. Threads are made as they are needed and end after a few idle
    seconds.

    Args:
        size: The number of jobs at once. Most of them wait for a process.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._condition = threading.Condition()
        self._waiting: dict[str, deque[Callable[[], None]]] = {}
        self._threads = 0
        self._idle = 0
        self._jobs = 0
        self._closed = False

    def submit(self, owner: str, job: Callable[[], None]) -> None:
        """Queues a job; it must not raise."""
        with self._condition:
            if self._closed:
                return
            self._waiting.setdefault(owner, deque()).append(job)
            self._jobs += 1
            if self._jobs <= self._idle:
                self._condition.notify()
            elif self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._work, name="engine worker", daemon=True).start()

    def close(self) -> None:
        """Forgets what has not begun. Does not wait for what has."""
        with self._condition:
            self._closed = True
            self._waiting.clear()
            self._jobs = 0
            self._condition.notify_all()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job()

    def _next(self) -> Callable[[], None] | None:
        with self._condition:
            while not self._waiting:
                self._idle += 1
                woken = not self._closed and self._condition.wait(timeout=5.0)
                self._idle -= 1
                if not woken and not self._waiting:
                    self._threads -= 1
                    return None
            owner, jobs = next(iter(self._waiting.items()))
            job = jobs.popleft()
            self._jobs -= 1
            # The owner goes to the end of the line.
            del self._waiting[owner]
            if jobs:
                self._waiting[owner] = jobs
            return job
