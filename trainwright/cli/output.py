"""Where a command's words go: with `--json`, standard output is one JSON object and nothing else."""

import json
import sys
from typing import Any, TextIO


class Output:
    """The streams of a command.

    Args:
        as_json: Whether standard output is for one JSON object. Then everything that is printed, by us or by
            a library, goes to standard error.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._stdout: TextIO = sys.stdout
        self._emitted = False
        if as_json:
            sys.stdout = sys.stderr

    def emit(self, document: dict[str, Any]) -> None:
        """Writes the command's JSON object."""
        json.dump(document, self._stdout, indent=2, default=str)
        self._stdout.write("\n")
        self._stdout.flush()
        self._emitted = True

    def fail(self, message: str) -> None:
        """Says what went wrong on standard error, and as JSON if that was asked for and not given yet."""
        sys.stderr.write(f"error: {message}\n")
        if self.as_json and not self._emitted:
            self.emit({"name": None, "state": None, "outputs": {}, "error": message, "tasks": []})

    def close(self) -> None:
        """Gives standard output back."""
        sys.stdout = self._stdout


def note(message: str) -> None:
    """Says something beside the result, on standard error."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def duration(seconds: float | None) -> str:
    """Writes a duration for people: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`; empty for None."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
