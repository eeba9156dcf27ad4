"""What an earlier process of local Vertex may have left running, and waiting for its end.

Fork servers kill all that they started when the process that serves dies, but this takes a moment. A task
must not run again while its first process may still write. So every fork server, and every build of an
environment, holds a lock that the kernel releases with its end.
"""

import fcntl
import time
from pathlib import Path

_PATIENCE_SECONDS = 30.0


class ProcessesLeft(OSError):
    """Processes of an earlier local Vertex do not end."""


class ProcessLock:
    """The lock of one state folder.

    Args:
        path: The lock's file.

    Raises:
        ProcessesLeft: It is held by others for more than 30 s.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = path.open("a")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self._file.close()
                    raise ProcessesLeft(
                        f"{path.parent}: processes that an earlier local Vertex started there still run"
                        f" (they hold {path.name}): end them first"
                    ) from None
                time.sleep(0.02)

    @property
    def descriptor(self) -> int:
        """Its file descriptor; a process that inherits it holds the lock too."""
        return self._file.fileno()

    def close(self) -> None:
        """Gives it up; those who inherited it hold it until they end."""
        self._file.close()
