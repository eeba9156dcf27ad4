"""Running the executor of one task: cache, command, process, outputs."""

import contextlib
import json
import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from trainwright.local.engine.cache import fingerprint
from trainwright.local.engine.executor_input import executor_input, output_artifacts
from trainwright.local.engine.importing import download, identity, imported
from trainwright.local.engine.inputs import InputError
from trainwright.local.engine.names import (
    OutsideStorage,
    artifact_name,
    local_path,
    log_path,
    numeric_id,
    task_id,
    task_root,
    workspace,
)
from trainwright.local.engine.notification import is_notification, message
from trainwright.local.engine.outcomes import (
    CANCELLED_CODE,
    IN_WORKSPACE,
    Artifact,
    Failure,
    Inputs,
    Outcome,
    Outputs,
    State,
    failed,
)
from trainwright.local.engine.outputs import BadOutput, collect
from trainwright.local.engine.pipeline_run import PipelineRun
from trainwright.local.engine.placeholders import Command, PlaceholderError
from trainwright.local.engine.spec import Component, Container, Importer, Task
from trainwright.local.execution import (
    EnvironmentFailed,
    Executor,
    Mailer,
    Running,
    StartCancelled,
    UnknownImage,
    Work,
)

# Tells a task where kfp is to look for artifacts in the workspace (see `execution.fork_server.child`).
WORKSPACE_VARIABLE = "KFP_WORKSPACE_PATH"
# Vertex AI, "Quotas and limits", 2026-08-22: how long a task may run.
MAX_SECONDS = 7 * 24 * 3600.0
_CANCELLED = Outcome(State.CANCELLED, failure=Failure("the run was cancelled", CANCELLED_CODE))
_logger = logging.getLogger(__name__)


class Results(Protocol):
    """Earlier results, to be used again."""

    def cached(self, key: str) -> Outputs | None:
        """The outputs of the newest success with that cache key."""

    def imported(self, identity: str) -> Artifact | None:
        """The artifact that an earlier import made."""

    def error(self, name: str) -> str:
        """Why the job of that resource name failed; empty when it did not, or there is none."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One try at the executor of one task.

    `number` counts from 1. `starts_anew` says that the task failed before, so that what it wrote must not be
    found again. `fingerprint` is the key under which a success is to be remembered, "" for none.
    `exit_code` is that of its process, once it has ended.
    """

    run: PipelineRun
    pipeline: str
    path: str
    task: Task
    component: Component
    executor: Container | Importer
    inputs: Inputs
    names: Mapping[str, str]
    number: int = 1
    starts_anew: bool = False
    fingerprint: str = ""
    exit_code: int | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    _running: Running | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cancel(self) -> None:
        """Ends the process, now or as soon as there is one; does not wait for its end."""
        with self._lock:
            self.cancelled.set()
            running = self._running
        if running is not None:
            running.terminate()  # SIGTERM first: a launcher then cancels its remote job

    def attach(self, running: Running | None) -> None:
        """Says which process runs the attempt; None once it has ended."""
        with self._lock:
            self._running = running
        if running is not None and self.cancelled.is_set():
            running.terminate()


class TaskRunner:
    """Runs attempts. Its methods block; they are called from worker threads.

    Args:
        executor: Starts processes.
        results: Earlier results.
        mailer: Delivers notifications.
        state: The state folder.
    """

    def __init__(self, *, executor: Executor, results: Results, mailer: Mailer, state: Path) -> None:
        self._executor = executor
        self._results = results
        self._mailer = mailer
        self._state = state
        self._storage = state / "storage"

    def run(self, attempt: Attempt, started: Callable[[], None]) -> Outcome:
        """Runs an attempt to its end.

        Args:
            attempt: What to run.
            started: Called once the process exists; not for a cache hit or an importer.

        Returns:
            How it ended. Errors of the task, its environment or its outputs are outcomes, not exceptions.
        """
        if attempt.cancelled.is_set():
            return _CANCELLED
        try:
            if isinstance(attempt.executor, Importer):
                return self._import(attempt, attempt.executor)
            if is_notification(attempt.executor):
                return self._notify(attempt)
            return self._execute(attempt, attempt.executor, started)
        except StartCancelled:
            return _CANCELLED
        except EnvironmentFailed as error:
            log = log_path(self._state, attempt.run, attempt.path)
            _write_line(log, f"local Vertex: {_line(error)}")  # where a user looks for pip's words
            return failed(f"task {attempt.path!r} failed: {_line(error)}; log: {log}")
        except (UnknownImage, InputError, OutsideStorage, PlaceholderError, OSError) as error:
            return failed(f"task {attempt.path!r} failed: {_line(error)}")
        except (
            Exception
        ) as error:  # a fault of ours or of the execution room must end the task, not hang the run
            _logger.exception("task %s of %s", attempt.path, attempt.run.name)
            return failed(f"task {attempt.path!r} failed: {type(error).__name__}: {_line(error)}")

    def clean(self, attempt: Attempt) -> None:
        """Removes the working directory of a task that succeeded; that of another is left to look at."""
        shutil.rmtree(self._scratch(attempt), ignore_errors=True)

    def _scratch(self, attempt: Attempt) -> Path:
        return self._state / "work" / attempt.run.job_id / task_id(attempt.run, attempt.path)

    def _import(self, attempt: Attempt, importer: Importer) -> Outcome:
        output = next(iter(attempt.component.output_artifacts), "artifact")
        name = artifact_name(attempt.run, attempt.path, output)
        artifact = imported(importer, name, attempt.inputs, attempt.names)
        if importer.to_workspace:
            download(artifact.uri, workspace(self._state, attempt.run), self._storage)
        if not importer.reimport:
            attempt.fingerprint = identity(artifact)
            artifact = self._results.imported(attempt.fingerprint) or artifact
        return Outcome(State.SUCCEEDED, Outputs({}, {output: (artifact,)}))

    def _notify(self, attempt: Attempt) -> Outcome:
        run = attempt.run
        mail = message(run, attempt.path, attempt.inputs.parameters, self._mailer.sender, time.time())
        where = self._mailer.deliver(f"{run.job_id}-{task_id(run, attempt.path)}", mail)
        log = log_path(self._state, run, attempt.path)
        _write_line(log, f"local Vertex: {where}")
        return Outcome(State.SUCCEEDED)

    def _execute(self, attempt: Attempt, container: Container, started: Callable[[], None]) -> Outcome:
        run, component = attempt.run, attempt.component
        if attempt.task.cached:
            attempt.fingerprint = fingerprint(
                attempt.pipeline, attempt.task, component, container, attempt.inputs, run.dialect
            )
            found = self._results.cached(attempt.fingerprint)
            if found is not None:
                return Outcome(State.SKIPPED, found)
        content = executor_input(
            run, attempt.task.key, attempt.path, component, attempt.inputs, self._storage
        )
        work = self._work(attempt, container, content)
        self._make_folders(attempt, content)
        running = self._executor.start(work, attempt.cancelled)
        attempt.attach(running)
        started()
        outcome = running.wait(MAX_SECONDS)
        if outcome is None:
            running.terminate()
            return failed(f"task {attempt.path!r} ran for 7 days, the limit of Vertex AI Pipelines")
        attempt.attach(None)
        attempt.exit_code = outcome.exit_code
        if attempt.cancelled.is_set():  # a launcher that was told to stop exits with 0
            return _CANCELLED
        if outcome.exit_code != 0:
            said = self._error_of_job(content) or outcome.said
            return failed(_reason(attempt.path, outcome.exit_code, said, work.log_path))
        planned = output_artifacts(run, attempt.task.key, attempt.path, component)
        scratch = None if running.in_container else work.scratch
        try:
            outputs = collect(run, attempt.path, component, content, planned, self._storage, scratch)
        except BadOutput as error:
            return failed(f"task {attempt.path!r} failed: {error}; log: {work.log_path}")
        return Outcome(State.SUCCEEDED, outputs)

    def _work(self, attempt: Attempt, container: Container, content: Mapping[str, Any]) -> Work:
        run = attempt.run
        folder = workspace(self._state, run)
        command = Command(
            content,
            # An optional input that was given no value is there, and empty.
            {
                **dict.fromkeys(attempt.component.input_parameters),
                **attempt.inputs.defaults,
                **attempt.inputs.parameters,
            },
            attempt.names,
            self._storage,
            folder,
        )
        environment = run_environment(run)
        artifacts = (item for items in attempt.inputs.artifacts.values() for item in items)
        if any(item.metadata.get(IN_WORKSPACE) for item in artifacts):
            environment[WORKSPACE_VARIABLE] = str(folder)
        if attempt.component.applies("ENV"):
            environment |= {name: command.text(value) for name, value in container.environment}
        return Work(
            name=attempt.path,
            image=container.image,
            command=command.rendered(container.command),
            args=command.rendered(container.args),
            environment=environment,
            log_path=log_path(self._state, run, attempt.path),
            scratch=self._scratch(attempt),
        )

    def _error_of_job(self, content: Mapping[str, Any]) -> str:
        """Why the job failed that a launcher of Google Cloud Pipeline Components waited for: it does not say.

        It writes the job's address to its output parameter `gcp_resources` (GcpResources as JSON;
        google-cloud-pipeline-components 2.22.0, `job_remote_runner.py`).
        """
        output = content["outputs"]["parameters"].get("gcp_resources")
        if output is None:
            return ""
        try:
            resources = json.loads(Path(output["outputFile"]).read_text(encoding="utf-8"))["resources"]
            names = [str(resource["resourceUri"]).partition("/v1/")[2] for resource in resources]
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        return " ".join(filter(None, map(self._results.error, names)))

    def _make_folders(self, attempt: Attempt, content: Mapping[str, Any]) -> None:
        outputs = content["outputs"]
        result = Path(outputs["outputFile"])
        result.parent.mkdir(parents=True, exist_ok=True)
        result.unlink(missing_ok=True)
        for parameter in outputs["parameters"].values():
            path = Path(parameter["outputFile"])
            path.parent.mkdir(parents=True, exist_ok=True)
            if attempt.starts_anew:
                # An attempt that goes on after a crash needs what it wrote, a retry after a failure must not
                # have it.
                path.unlink(missing_ok=True)
        for artifacts in outputs["artifacts"].values():
            for artifact in artifacts["artifacts"]:
                local_path(self._storage, artifact["uri"]).parent.mkdir(parents=True, exist_ok=True)
        root = local_path(self._storage, task_root(attempt.run, attempt.task.key, attempt.path))
        (root / "executor_input.json").write_text(json.dumps(content, ensure_ascii=False))


def run_environment(run: PipelineRun) -> dict[str, str]:
    """Variables that Vertex AI sets in every task of a run.

    Sources: "Resource label propagation" (VERTEX_AI_PIPELINES_RUN_LABELS) and "Code requirements"
        (CLOUD_ML_PROJECT_ID, the
    project's number), documentation of 2026-08-22.
    """
    labels = {"vertex-ai-pipelines-run-billing-id": numeric_id(run.name), **run.labels}
    return {
        "VERTEX_AI_PIPELINES_RUN_LABELS": json.dumps(labels, sort_keys=True),
        "CLOUD_ML_PROJECT_ID": run.project_number,
    }


def _reason(path: str, exit_code: int, said: str, log: Path) -> str:
    if exit_code < 0:
        try:
            how = f"was killed by {signal.Signals(-exit_code).name}"
        except ValueError:
            how = f"was killed by signal {-exit_code}"
    else:
        how = f"failed with exit code {exit_code}"
    return f"task {path!r} {how}: {said}; log: {log}" if said else f"task {path!r} {how}; log: {log}"


def _write_line(log: Path, line: str) -> None:
    with contextlib.suppress(OSError):
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log.touch(mode=0o600)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
