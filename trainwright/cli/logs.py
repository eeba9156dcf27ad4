"""Prints logs of tasks on local Vertex and of the jobs that they wait for, from where the last look ended."""

import codecs
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trainwright.cli.failure import log_file, replica_logs

if TYPE_CHECKING:
    from trainwright.vertex.runs import Run, Task

_CHUNK_BYTES = 1 << 20


@dataclass
class _Log:
    """How far a log has been printed; a character may lie across two looks."""

    offset: int = 0
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )


class Logs:
    """The logs of a run's tasks and of their custom jobs' replicas, as far as they have been printed.

    Args:
        state: The state folder.
        titled: Whether a line says which task's log follows.
    """

    def __init__(self, state: Path, *, titled: bool) -> None:
        self._state = state
        self._titled = titled
        self._logs: dict[Path, _Log] = {}
        self._last: Path | None = None

    def print(self, run: "Run", tasks: Iterable["Task"]) -> None:
        """Prints what has been added to the logs of these tasks since the last call."""
        for task in tasks:
            own = log_file(self._state, run, task)
            logs = {task.path: own} if own is not None else {}
            for path in replica_logs(self._state, run, task):
                logs[f"{task.path} {path.stem}"] = path
            for title, path in logs.items():
                self._print(path, title if self._titled or len(logs) > 1 else None)
        sys.stdout.flush()

    def _print(self, path: Path, title: str | None) -> None:
        log = self._logs.setdefault(path, _Log())
        with path.open("rb") as file:
            file.seek(log.offset)
            while chunk := file.read(_CHUNK_BYTES):
                if title is not None and self._last != path:
                    sys.stdout.write(f"==> {title}: {path} <==\n")
                self._last = path
                log.offset += len(chunk)
                sys.stdout.write(log.decoder.decode(chunk))
