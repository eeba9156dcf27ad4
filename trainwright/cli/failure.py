"""What is said of a failed run: the task, its exit code, its last log lines, and the log's path."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainwright.cli.session import Session
    from trainwright.vertex.runs import Run, Task

_TAIL_LINES = 20
_TAIL_BYTES = 64 * 1024
_LONGEST_LINE = 500  # a launcher's error may quote the whole program of its job
_GCP_RESOURCES = Path("output_parameters", "gcp_resources")
_CUSTOM_JOB = re.compile(r"/customJobs/(\d+)")
_EXECUTOR_INPUT = re.compile(r"\[KFP Executor .+\]: Got executor_input:$")


def describe(run: "Run", session: "Session") -> str:
    """Describes why a run did not succeed.

    Args:
        run: The run as it ended.
        session: Where it ran.

    Returns:
        Several lines; the first names the run or task and says what happened to it.
    """
    from trainwright.vertex.runs import failed_tasks

    if run.state == "PIPELINE_STATE_CANCELLED":
        return f"run {run.id} was cancelled"
    failed = failed_tasks(run.tasks)
    if not failed:
        return f"run {run.id} failed: {run.error or run.state}"
    return "\n".join(_describe_task(run, task, session) for task in failed)


def _describe_task(run: "Run", task: "Task", session: "Session") -> str:
    reason = (task.error or run.error or "no reason given").strip().splitlines()
    if not reason[0].startswith("task "):
        reason[0] = f"task {task.path!r} failed: {reason[0]}"
    if session.state is None:
        return "\n".join([*reason, f"  log: {log_url(run, task)}"])
    # Local Vertex names the logs at the end: first that of the job which the task waited for, if it did.
    reason[0], *named = reason[0].split("; log: ")
    own = log_file(session.state, run, task)
    logs = [Path(log) for log in named] or ([own] if own is not None else [])
    tail = _tail(logs[0]) if logs else []
    if any(line.removeprefix("local Vertex: ") not in reason[0] for line in tail):
        reason += ["  last lines of its log:", *(f"    {line}" for line in tail)]
    return "\n".join([*reason, *(f"  log: {log}" for log in logs)])


def log_file(state: Path, run: "Run", task: "Task") -> Path | None:
    """The log of a task that a local Vertex AI ran; None if it wrote none."""
    name = task.path.replace("/", ".")
    if len(name.encode()) > 200:  # so does the engine of local Vertex, as a file name has at most 255 bytes
        name = f"{name.encode()[:160].decode(errors='ignore')}-{task.id}"
    path = state / "logs" / "pipelineJobs" / run.id / f"{name}.log"
    return path if path.is_file() else None


def replica_logs(state: Path, run: "Run", task: "Task") -> list[Path]:
    """The logs of the replicas of the custom job that a task on a local Vertex AI has created, in order.

    The launchers of Google Cloud Pipeline Components write the job's address as soon as it exists to their
    output parameter `gcp_resources`, which is a file below the task's folder ROOT/PROJECT_NUMBER/RUN/TASK_ID.
    """
    number = run.name.split("/")[1]
    folder = f"{run.root.removeprefix('gs://').rstrip('/')}/{number}/{run.id}/{task.name}_{task.id}"
    try:
        resources = (state / "storage" / folder / _GCP_RESOURCES).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    logs = [
        path
        for job in dict.fromkeys(_CUSTOM_JOB.findall(resources))
        for path in (state / "logs" / "customJobs" / job).glob("workerpool*-*.log")
    ]
    return sorted(logs, key=lambda path: [int(number) for number in re.findall(r"\d+", path.stem)])


def log_url(run: "Run", task: "Task | None" = None) -> str:
    """The page of Cloud Logging with the log of a run, or of a task, whose container is a custom job."""
    from urllib.parse import quote

    project = run.name.split("/")[1]
    identifier = task.job.rsplit("/", 1)[-1] if task is not None and task.job else run.id
    # In Cloud Logging's query language a quoted term matches any field, the resource's labels among them.
    query = quote(f'"{identifier}"', safe="")
    return f"https://console.cloud.google.com/logs/query;query={query}?project={project}"


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    said = [line for line in _own_lines(lines) if line.strip()][-_TAIL_LINES:]
    return [line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 3]}..." for line in said]


def _own_lines(lines: list[str]) -> list[str]:
    """The lines of the task itself, without what KFP's executor writes before it calls the component.

    That ends with the component's input as JSON, one value a line (kfp 2.17.0, `executor_main.py`).
    """
    starts = [number for number, line in enumerate(lines) if _EXECUTOR_INPUT.search(line)]
    if not starts:
        return lines
    after = lines[starts[-1] + 1 :]
    return after[after.index("}") + 1 :] if "}" in after else after
