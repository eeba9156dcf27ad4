"""What the engine writes to the store, and reads back after a restart."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainwright.local.engine.cache import entry
from trainwright.local.engine.names import artifact_name, item_name, log_path, task_id, task_record, task_root
from trainwright.local.engine.outcomes import FAILED_PRECONDITION, Artifact, Failure, Outcome, Outputs, State
from trainwright.local.engine.pipeline_run import PipelineRun
from trainwright.local.engine.plan import Kind, Node
from trainwright.local.store import Store

Row = tuple[str, str, bytes]


@dataclass(slots=True)
class Times:
    """When a task was created, started and ended (Unix seconds), and how often its process was started.

    `failed` of these `attempts` have failed; one more was interrupted by the end of the engine, or runs.
    `key` is its cache key, `exit_code` that of its last process: minus the signal, if one ended it.
    """

    create: float
    start: float | None = None
    end: float | None = None
    attempts: int = 0
    failed: int = 0
    key: str = ""
    exit_code: int | None = None


class Records:
    """Earlier results in the store: cache entries, imports, artifacts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def artifact(self, name: str) -> Artifact | None:
        """The artifact of a resource name."""
        record = self._store.read(name)
        if record is None or record.kind != "artifact":
            return None
        content = record.json()
        return Artifact(
            content["name"],
            content["uri"],
            content["schemaTitle"],
            content["schemaVersion"],
            content["metadata"],
            content["displayName"],
        )

    def cached(self, key: str) -> Outputs | None:
        """The outputs of the newest success with that key; None also when an artifact of it was deleted."""
        record = self._store.read(entry(key))
        return self.outputs(record.json()["outputs"]) if record else None

    def imported(self, identity: str) -> Artifact | None:
        """The artifact that an earlier import made."""
        record = self._store.read(identity)
        return self.artifact(record.json()["artifact"]) if record else None

    def error(self, name: str) -> str:
        """Why the job of that resource name failed; empty when it did not, or there is none."""
        record = self._store.read(run_record(name))
        error = record.json()["error"] if record else None
        return str(error["message"]) if error else ""

    def outputs(self, content: Mapping[str, Any]) -> Outputs | None:
        """Outputs as a record holds them: artifacts by name. None when one of them is gone."""
        artifacts = {}
        for key, names in content["artifacts"].items():
            found = [self.artifact(name) for name in names]
            if None in found:
                return None
            artifacts[key] = tuple(item for item in found if item is not None)
        return Outputs(content["parameters"], artifacts)


class Ledger:
    """The records of one run.

    Args:
        store: Read on construction: what an earlier process wrote about this run.
        run: The run.
        state: The state folder.
    """

    def __init__(self, store: Store, run: PipelineRun, state: Path) -> None:
        self._run = run
        self._state = state
        self._times: dict[str, Times] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.begun: set[str] = set()
        self._written: set[str] = set()
        results = Records(store)
        for record in store.list("pipelineTask", f"{run.name}/tasks/"):
            self._recall(record.json(), results)
        self.outcomes = dict(sorted(self.outcomes.items(), key=lambda item: self._times[item[0]].end or 0.0))
        previous = store.read(run_record(run.name))
        self.previous: dict[str, Any] = previous.json() if previous else {}

    def _recall(self, content: dict[str, Any], results: Records) -> None:
        path, state = content["path"], State(content["state"])
        self.begun.add(path)
        self._times[path] = Times(
            content["createTime"],
            content["startTime"],
            content["endTime"],
            content["attempts"],
            content.get("failedAttempts", 0),
            content["cacheKey"] or "",
            content.get("exitCode"),
        )
        if not state.is_final:
            return
        if content["isDag"] and state is not State.NOT_TRIGGERED:
            self.outcomes[path] = Outcome(state)  # decided again from its tasks; when it ended still counts
            return
        outputs = results.outputs(content["outputs"])
        if outputs is None:
            return  # its artifacts were deleted: it has to run again
        error = content["error"]
        failure = Failure(error["message"], error["code"]) if error else None
        self.outcomes[path] = Outcome(state, outputs, failure)
        self._written.add(path)

    def next_attempt(self, path: str) -> tuple[int, bool]:
        """The number of the attempt that a ready task makes, and whether it goes on with an interrupted one.

        A task that was running when its engine was killed goes on with what it had written; one that had
        failed and waited for its retry starts anew.
        """
        times = self._times.get(path)
        return (times.failed + 1, times.attempts > times.failed) if times else (1, False)

    def started(self, path: str, attempt: int, now: float) -> None:
        """Notes the start of the task's process."""
        times = self._times.setdefault(path, Times(now))
        times.attempts = attempt
        times.start = times.start or now

    def ended(self, path: str, key: str, exit_code: int | None) -> None:
        """Notes the task's cache key, if it has one, and how its process ended, if there was one."""
        times = self._times[path]
        times.key = key or times.key
        times.exit_code = exit_code

    def failed(self, path: str, attempt: int) -> None:
        """Notes that an attempt has failed, and another is to follow."""
        self._times[path].failed = attempt

    def rows(self, nodes: Iterable[Node], now: float) -> list[Row]:
        """The rows to write for nodes that changed; none for what an earlier process wrote in full."""
        rows = []
        for node in nodes:
            if node.path in self._written and node.path:
                continue
            times = self._times.setdefault(node.path, Times(now))
            if node.state is State.RUNNING and node.kind is not Kind.EXECUTOR:
                times.start = times.start or now
            if node.state.is_final:
                times.end = times.end or now
            if node.state.is_success:  # a cache hit and an importer have no process that starts
                times.start = times.start or times.create
            content = self._task(node, times)
            rows.append((task_record(self._run, node.path), "pipelineTask", _encoded(content)))
        return rows

    def _task(self, node: Node, times: Times) -> dict[str, Any]:
        logged = node.kind is Kind.EXECUTOR and times.attempts > 0
        return {
            "taskId": task_id(self._run, node.path),
            "parentTaskId": task_id(self._run, node.parent.path) if node.parent else "",
            "taskName": node.key,
            "displayName": node.task.name if node.task else node.key,
            "path": node.path,
            "isDag": node.kind is not Kind.EXECUTOR,
            "state": node.state.value,
            "createTime": times.create,
            "startTime": times.start,
            "endTime": times.end,
            "error": {"code": node.failure.code, "message": node.failure.message} if node.failure else None,
            "inputs": {
                "parameters": {**node.inputs.defaults, **node.inputs.parameters},
                "artifacts": _names(node.inputs.artifacts),
            },
            "outputs": {
                "parameters": dict(node.outputs.parameters),
                "artifacts": _names(node.outputs.artifacts),
            },
            "logPath": str(log_path(self._state, self._run, node.path)) if logged else None,
            # Holds executor_input.json, executor_output.json and the outputs.
            "folder": task_root(self._run, node.key, node.path) if logged else None,
            "exitCode": times.exit_code,
            "cacheHit": node.state is State.SKIPPED,
            "cacheKey": times.key or None,
            "attempts": times.attempts,
            "failedAttempts": times.failed,
            "resources": node.resources.record(),
        }

    def result_rows(self, node: Node, now: float) -> list[Row]:
        """The rows of what a task that succeeded made: its artifacts and its cache entry."""
        if node.state is not State.SUCCEEDED:
            return []
        rows: list[Row] = []
        for output, artifacts in node.outputs.artifacts.items():
            single = artifact_name(self._run, node.path, output)
            for index, item in enumerate(artifacts):
                # An import may reuse another's.
                if item.name in (single, item_name(self._run, node.path, output, index)):
                    rows.append((item.name, "artifact", _encoded(_artifact(item, now))))
        key = self._times[node.path].key
        if key.startswith("cache/import/"):
            imported = next(iter(node.outputs.artifacts.values()))[0]
            rows.append((key, "cache", _encoded({"artifact": imported.name})))
        elif key:
            outputs = {
                "parameters": dict(node.outputs.parameters),
                "artifacts": _names(node.outputs.artifacts),
            }
            content = {"task": task_record(self._run, node.path), "outputs": outputs}
            rows.append((entry(key), "cache", _encoded(content)))
        return rows

    def run_row(self, state: str, root: Node | None, now: float) -> Row:
        """The row of the run itself; `root` once it has ended."""
        start = self.previous.get("startTime") or now
        failure = root.failure if root else None
        outputs = root.outputs if root else Outputs()
        self.previous = {
            "state": state,
            "startTime": start,
            "endTime": now if root else None,
            "error": {"code": failure.code, "message": failure.message} if failure else None,
            "outputs": {"parameters": dict(outputs.parameters), "artifacts": _names(outputs.artifacts)},
        }
        return run_record(self._run.name), "run", _encoded(self.previous)

    def failed_row(self, message: str, now: float) -> Row:
        """The row of a run that cannot go on, for a reason that is none of its tasks'."""
        name, _, payload = self.run_row("PIPELINE_STATE_FAILED", None, now)
        content = {
            **json.loads(payload),
            "endTime": now,
            "error": {"code": FAILED_PRECONDITION, "message": message},
        }
        return name, "run", _encoded(content)


def run_record(name: str) -> str:
    """The name of the record that holds the state of a run."""
    return f"{name}/run"


def _artifact(artifact: Artifact, now: float) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "displayName": artifact.display_name,
        "uri": artifact.uri,
        "schemaTitle": artifact.schema_title,
        "schemaVersion": artifact.schema_version,
        "metadata": dict(artifact.metadata),
        "state": "LIVE",
        "createTime": now,
    }


def _names(artifacts: Mapping[str, tuple[Artifact, ...]]) -> dict[str, list[str]]:
    return {key: [item.name for item in items] for key, items in artifacts.items()}


def _encoded(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")
