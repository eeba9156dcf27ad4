"""Shows a run while it runs: one line a task."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from trainwright.cli.output import duration

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from trainwright.vertex.runs import Run, Task

_STATES = {
    "SKIPPED": "SUCCEEDED",
    "NOT_TRIGGERED": "NOT TRIGGERED",
    "CANCEL_PENDING": "CANCELLING",
    "STATE_UNSPECIFIED": "PENDING",
}
_STYLES = {
    "SUCCEEDED": "green",
    "FAILED": "bold red",
    "RUNNING": "cyan",
    "CANCELLED": "yellow",
    "CANCELLING": "yellow",
}


class Progress:
    """Shows the tasks of a run, as a context manager.

    On a terminal every task has a line that changes in place. Elsewhere a task's line is written once, when
    it has ended. All goes to standard output, or to standard error when `--json` has claimed the former.
    """

    def __init__(self) -> None:
        self._written: set[str] = set()
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        if sys.stdout.isatty():
            from rich.live import Live

            self._live = Live(auto_refresh=False, transient=False)
            self._live.__enter__()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def show(self, run: "Run") -> None:
        """Shows a run as it is now."""
        if self._live is not None:
            self._live.update(task_table(run), refresh=True)
            return
        from trainwright.vertex.runs import TASK_ENDED

        for task in run.tasks:
            # A run that was stopped leaves tasks that will never end.
            if task.path not in self._written and (task.state in TASK_ENDED or run.has_ended):
                self._written.add(task.path)
                sys.stdout.write(task_line(task) + "\n")
        sys.stdout.flush()


def task_line(task: "Task") -> str:
    """A task on one plain line: state, duration, path, and whether it came from the cache."""
    path = "  " * task.depth + task.path
    return f"  {task_state(task):<13} {duration(task.seconds):>12}  {path}{_remark(task)}"


def task_table(run: "Run") -> "Table":
    """The tasks of a run as a table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column()
    for task in run.tasks:
        state = task_state(task)
        name = "  " * task.depth + task.path.rsplit("/", 1)[-1]
        table.add_row(
            Text(f"  {name}"),
            Text(state, style=_STYLES.get(state, "")),
            Text(duration(task.seconds), justify="right"),
            Text(_remark(task).strip(), style="dim"),
        )
    return table


def task_state(task: "Task") -> str:
    """A task's state as people read it."""
    return _STATES.get(task.state, task.state)


def _remark(task: "Task") -> str:
    return "  (cached)" if task.cached else ""
