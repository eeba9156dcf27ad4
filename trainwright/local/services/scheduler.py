"""The thread that looks at schedules when something is due, and the clock it goes by."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

# A computer that slept notices it at the latest after this many seconds: waiting does not count sleep.
_LONGEST_WAIT = 30.0
_RETRY_AFTER = 30.0

_logger = logging.getLogger(__name__)


class Clock(Protocol):
    """What time it is, and how to wait for another time. Its methods may be called from any thread."""

    def now(self) -> float:
        """Unix seconds."""

    def wait(self, woken: threading.Event, until: float | None) -> None:
        """Returns when `woken` is set or the time has come (None: it never does), or earlier."""


class SystemClock:
    """The computer's clock."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def wait(self, woken: threading.Event, until: float | None) -> None:
        """As `Clock.wait`; it also follows when somebody sets the clock."""
        woken.wait(None if until is None else min(max(0.0, until - time.time()), _LONGEST_WAIT))


class Scheduler:
    """Calls a function whenever it is due.

    Args:
        look: Does what is due and returns when it wants to be called again; None: when woken.
        clock: What it goes by.
    """

    def __init__(self, look: Callable[[], float | None], clock: Clock) -> None:
        self._look = look
        self._clock = clock
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._main, name="schedules", daemon=True)

    def start(self) -> None:
        """Looks for the first time and returns; the rest happens in a thread of its own."""
        self._thread.start()

    def wake(self) -> None:
        """Lets it look soon: something has changed."""
        self._woken.set()

    def close(self) -> None:
        """Ends the thread when it has done what it is doing."""
        self._closed.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def _main(self) -> None:
        while not self._closed.is_set():
            self._woken.clear()
            if self._closed.is_set():  # closed between the two lines above
                return
            try:
                until = self._look()
            except Exception:  # a full disk must not end all schedules
                _logger.exception("schedules: looking again in %.0f s", _RETRY_AFTER)
                until = self._clock.now() + _RETRY_AFTER
            self._clock.wait(self._woken, until)
