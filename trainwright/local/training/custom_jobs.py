"""Runs custom jobs: one process each, with what Vertex AI gives a training container."""

import json
import logging
import shutil
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainwright.local.execution import (
    EnvironmentFailed,
    Executor,
    Outcome,
    Running,
    StartCancelled,
    UnknownImage,
    Work,
)
from trainwright.local.store import Store
from trainwright.local.training.failures import (
    DEADLINE_EXCEEDED,
    INTERNAL,
    INVALID_ARGUMENT,
    Failure,
    failure_of,
    memory_kills,
    restarts_after,
)
from trainwright.local.training.replicas import (
    NAME,
    Replica,
    output_directory_of,
    replica_of,
    timeout_of,
    vertex_environment,
)

_logger = logging.getLogger(__name__)
_GRACE_SECONDS = 30.0
_ENDED = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}


@dataclass
class _Job:
    """A job that has not ended. `lock` orders its state changes; `cancelled` also means "being closed"."""

    name: str
    spec: dict
    replica: Replica
    environment: dict[str, str]
    lock: threading.Lock = field(default_factory=threading.Lock)
    cancelled: threading.Event = field(default_factory=threading.Event)
    running: Running | None = None
    ended: bool = False

    @property
    def id(self) -> str:
        return self.name.rpartition("/")[2]


class CustomJobs:
    """The custom jobs of local Vertex AI.

    Every state is in the job's "run" record before anything follows from it. A job whose record has not ended
    is started again by `start`: its replica runs anew and finds its checkpoints where it left them, as
    after a preemption on Vertex AI; the time it has had counts towards its timeout.

    Args:
        store: Where the records are.
        executor: Runs the replicas.
        state: The state folder.
    """

    def __init__(self, *, store: Store, executor: Executor, state: Path) -> None:
        self._store = store
        self._executor = executor
        self._state = state
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def check(self, spec: dict) -> None:
        """Says what can be known before a job is created.

        Args:
            spec: CustomJobSpec as camelCase JSON.

        Raises:
            ValueError: It is not valid or cannot run here; one line that names the field.
        """
        replica = replica_of(spec)
        timeout_of(spec)
        output_directory_of(spec)
        try:
            self._executor.check(replica.image, (*replica.command, *replica.args))
        except UnknownImage as error:
            raise ValueError(f"workerPoolSpecs[0]: {error}") from None

    def start(self, name: str, spec: dict, *, project_number: str, labels: dict) -> None:
        """Starts a job, or starts it again after a restart of the serving process; returns at once.

        Args:
            name: projects/P/locations/L/customJobs/ID.
            spec: CustomJobSpec as camelCase JSON, checked.
            project_number: Decimal digits.
            labels: Of the job. Replicas do not see them, as on Vertex AI.

        Raises:
            ValueError: As in `check`.
        """
        run = self._run(name)
        with self._lock:
            if self._closed or name in self._jobs or run.get("state") in _ENDED:
                return
            environment = vertex_environment(
                spec,
                project_number=project_number,
                location=name.split("/")[3],
                job_id=name.rpartition("/")[2],
                port=_free_port(),
            )
            job = self._jobs[name] = _Job(name, spec, replica_of(spec), environment)
        if not run:
            self._write(job, "JOB_STATE_QUEUED")
        thread = threading.Thread(target=self._conduct, args=(job,), name=f"custom-job-{job.id}", daemon=True)
        with self._lock:
            self._threads = [other for other in self._threads if other.is_alive()] + [thread]
        thread.start()

    def cancel(self, name: str) -> None:
        """Ends a job: SIGTERM to its processes, SIGKILL after 30 s; one that has ended stays as it is."""
        with self._lock:
            job = self._jobs.get(name)
        if job is None:
            return
        with job.lock:
            if job.ended or job.cancelled.is_set():
                return
            self._write(job, "JOB_STATE_CANCELLING")
            job.cancelled.set()
            if job.running is not None:
                job.running.terminate(_GRACE_SECONDS)

    def close(self) -> None:
        """Kills the replicas without ending the jobs, which go on at their next start."""
        with self._lock:
            self._closed = True
            jobs, threads = list(self._jobs.values()), list(self._threads)
        for job in jobs:
            with job.lock:
                job.cancelled.set()
                if job.running is not None:
                    job.running.terminate(0.0)
        for thread in threads:
            thread.join(10.0)

    def _conduct(self, job: _Job) -> None:
        """A job's thread: from its record's state to an ended one, unless all is being closed."""
        state, failure = "JOB_STATE_FAILED", None
        try:
            if self._run(job.name).get("state") != "JOB_STATE_CANCELLING":
                failure = self._train(job)
                state = "JOB_STATE_FAILED" if failure else "JOB_STATE_SUCCEEDED"
            else:
                job.cancelled.set()
        except StartCancelled:
            pass
        except (EnvironmentFailed, UnknownImage, OSError) as error:
            failure = Failure(INVALID_ARGUMENT, f"The replica {NAME} could not be started: {error}")
        except Exception as error:  # a fault of ours must end the job, not leave it running for ever
            _logger.exception("custom job %s", job.name)
            failure = Failure(INTERNAL, f"{type(error).__name__}: {error}")
        with job.lock:
            job.ended = True
            if not self._closed:
                if job.cancelled.is_set():
                    state, failure = "JOB_STATE_CANCELLED", None
                self._write(job, state, failure)
        with self._lock:
            self._jobs.pop(job.name, None)

    def _train(self, job: _Job) -> Failure | None:
        """Runs the replica, again after a loss, to its end; None when it ended well."""
        log = self._state / "logs" / "customJobs" / job.id / f"{NAME}.log"
        work = Work(
            name=f"{job.id}/{NAME}",
            image=job.replica.image,
            command=job.replica.command,
            args=job.replica.args,
            environment={**job.environment, **job.replica.environment},
            log_path=log,
            scratch=self._state / "work" / "customJobs" / job.id / NAME,
        )
        restarts = 0
        if self._run(job.name).get("state") == "JOB_STATE_QUEUED":
            self._advance(job, "JOB_STATE_PENDING")
        while True:
            kills = memory_kills()
            outcome = self._run_replica(job, work)
            if outcome is None:
                seconds = timeout_of(job.spec)
                return Failure(
                    DEADLINE_EXCEEDED, f"The job ran for longer than its timeout of {seconds:g} s; log: {log}"
                )
            if outcome.exit_code == 0 or job.cancelled.is_set():
                shutil.rmtree(work.scratch, ignore_errors=True)
                return None
            ran_out = memory_kills() > kills
            if restarts >= restarts_after(outcome.exit_code, ran_out_of_memory=ran_out, spec=job.spec):
                return failure_of(outcome, log, ran_out_of_memory=ran_out)
            restarts += 1
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"local Vertex: {NAME} ended with {outcome.exit_code}; restart {restarts}\n")

    def _run_replica(self, job: _Job, work: Work) -> Outcome | None:
        """Runs the replica once; None when the job's time is over."""
        shutil.rmtree(work.scratch, ignore_errors=True)  # a restarted container begins with an empty disk too
        running = self._executor.start(work, job.cancelled)
        with job.lock:
            job.running = running
            if job.cancelled.is_set():  # between the start and here
                running.terminate(0.0)
            else:
                self._write(job, "JOB_STATE_RUNNING")
        remaining = (self._run(job.name).get("startTime") or time.time()) + timeout_of(job.spec) - time.time()
        outcome = running.wait(max(0.0, remaining))
        if outcome is None:
            running.terminate(_GRACE_SECONDS)
            running.wait()
        return outcome

    def _advance(self, job: _Job, state: str) -> None:
        with job.lock:
            if not job.cancelled.is_set():
                self._write(job, state)

    def _run(self, name: str) -> dict[str, Any]:
        record = self._store.read(f"{name}/run")
        return json.loads(record.payload) if record else {}

    def _write(self, job: _Job, state: str, failure: Failure | None = None) -> None:
        before, now = self._run(job.name), time.time()
        started = before.get("startTime") or (now if state == "JOB_STATE_RUNNING" else None)
        run = {
            "state": state,
            "startTime": started,
            "endTime": now if state in _ENDED else None,
            "error": failure.json() if failure else None,
            "outputs": {},
        }
        self._store.write(f"{job.name}/run", "run", json.dumps(run).encode())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
