"""One process to run, and one that runs."""

import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TAIL_LINES = 20
_TAIL_BYTES = 64 * 1024
_SAID_LINES = 3
_SAID_CHARACTERS = 1000
_TRACEBACK_FRAME = re.compile(r'\s+File ".+", line \d+')


class StartCancelled(Exception):
    """The work was cancelled, or the executor closed, before its process was started."""


@dataclass(frozen=True)
class Work:
    """One process to run: the container of a pipeline task, or one replica of a worker pool.

    Args:
        name: For messages; need not be unique.
        image: The container image that it would run in.
        command: As in the container, placeholders resolved.
        args: What follows the command.
        environment: Variables on top of those of every client.
        log_path: Where its standard output and error are appended; made readable by its owner only.
        scratch: Its working directory; made when absent.
    """

    name: str
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    environment: Mapping[str, str]
    log_path: Path
    scratch: Path


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Args:
        exit_code: Minus the number of the signal when one ended it.
        tail: Its own last log lines, at most 20.
    """

    exit_code: int
    tail: tuple[str, ...]

    @property
    def said(self) -> str:
        """Its last words, in one line: the exception, where a traceback ends its log; else its last lines."""
        lines = [line.rstrip() for line in self.tail if line.strip()]
        frames = [number for number, line in enumerate(lines) if _TRACEBACK_FRAME.match(line)]
        after = lines[frames[-1] + 1 :] if frames else []
        exception = [number for number, line in enumerate(after) if not line.startswith(" ")]
        # More lines than a message has: the traceback was only logged, and the program went on.
        if exception and len(after) - exception[0] <= _SAID_LINES:
            return _cut(" ".join(line.strip() for line in after[exception[0] :]), _SAID_CHARACTERS)
        if "}" in lines:  # the end of the input that kfp's executor writes before it calls the component
            lines = lines[len(lines) - lines[::-1].index("}") :] or lines
        last = (line.strip() for line in lines[-_SAID_LINES:])
        return " | ".join(_cut(line, _SAID_CHARACTERS // _SAID_LINES) for line in last)


class Running:
    """A process that was started. All methods may be called from any thread.

    `pid` is its process id, and that of its group; 0 for the instant until the fork server has said it.
    `in_container` says that it sees other files than this machine's.

    Args:
        log_path: Where it writes.
        terminate: Ends the process with this many seconds of grace.
    """

    def __init__(self, log_path: Path, terminate: Callable[[float], None]) -> None:
        self.log_path = log_path
        self.pid = 0
        self.in_container = False
        self._log_start = log_path.stat().st_size if log_path.exists() else 0
        self._terminate = terminate
        self._lock = threading.Lock()
        self._exit_code: int | None = None
        self._ended = threading.Event()
        self._callbacks: list[Callable[[], None]] = []

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """Waits for the end of the process and of all that it started in its group.

        Args:
            timeout: Seconds; None waits for ever.

        Returns:
            None when it still runs.
        """
        if not self._ended.wait(timeout) or self._exit_code is None:
            return None
        return Outcome(self._exit_code, self._tail())

    def terminate(self, grace: float = 30.0) -> None:
        """Sends SIGTERM to the process and all that it started, SIGKILL after the grace; returns at once.

        Args:
            grace: Seconds. 30 is the notice of a Compute Engine spot VM before it is stopped
                (https://cloud.google.com/compute/docs/instances/spot, 2026-08).
        """
        if not self._ended.is_set():
            self._terminate(grace)

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Calls `callback` once, in some thread, when the process has ended; at once when it has."""
        with self._lock:
            if not self._ended.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def ended(self, exit_code: int) -> None:
        """Says that the process has ended; only the connection to its fork server calls this."""
        with self._lock:
            if self._ended.is_set():
                return
            self._exit_code = exit_code
            self._ended.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def _tail(self) -> tuple[str, ...]:
        try:
            with open(self.log_path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._log_start, size - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return ()
        return tuple(text.splitlines()[-_TAIL_LINES:])


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 3]}..."
