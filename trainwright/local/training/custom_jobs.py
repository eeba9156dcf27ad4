"""Runs custom jobs: a process for each replica, with what Vertex AI gives a training container."""

import logging
import threading
from pathlib import Path

from trainwright.local.execution import Executor, StartCancelled, UnknownImage
from trainwright.local.store import Store
from trainwright.local.training.cluster import Ports
from trainwright.local.training.failures import INTERNAL, INVALID_ARGUMENT, Failure
from trainwright.local.training.job import GRACE_SECONDS, Job, NotStarted
from trainwright.local.training.replicas import replicas_of
from trainwright.local.training.run_record import ENDED, RunRecord
from trainwright.local.training.specs import check, is_spot

_logger = logging.getLogger(__name__)


class CustomJobs:
    """The custom jobs of local Vertex AI.

    Every state is in the job's "run" record before anything follows from it. A job whose record has not ended
    is started again by `start`: its replicas run anew and find their checkpoints where they left them, as
    after a preemption on Vertex AI; the time it has had counts towards its timeout.

    Args:
        store: Where the records are.
        executor: Runs the replicas.
        state: The state folder.
        preempt_every: Seconds after which every spot job is preempted, again and again; None for never.
    """

    def __init__(
        self, *, store: Store, executor: Executor, state: Path, preempt_every: float | None = None
    ) -> None:
        self._store = store
        self._executor = executor
        self._state = state
        self._preempt_every = preempt_every
        self._ports = Ports()
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def check(self, spec: dict) -> None:
        """Says what can be known before a job is created.

        Args:
            spec: CustomJobSpec as camelCase JSON.

        Raises:
            ValueError: It is not valid or cannot run here; one line that names the field.
        """
        check(spec)
        for replica in replicas_of(spec):
            if replica.index == 0:
                try:
                    self._executor.check(replica.image, (*replica.command, *replica.args))
                except UnknownImage as error:
                    raise ValueError(f"workerPoolSpecs[{replica.pool}]: {error}") from None

    def start(self, name: str, spec: dict, *, project_number: str, labels: dict, trial: str = "") -> None:
        """Starts a job, or starts it again after a restart of the serving process; returns at once.

        Args:
            name: projects/P/locations/L/customJobs/ID.
            spec: CustomJobSpec as camelCase JSON, checked.
            project_number: Decimal digits.
            labels: Of the job. Replicas do not see them, as on Vertex AI.
            trial: The number of the hyperparameter trial that the job is, from "1"; empty if it is none.
        """
        record = RunRecord(self._store, name)
        run = record.read()
        with self._lock:
            if self._closed or name in self._jobs or run.get("state") in ENDED:
                return
            job = self._jobs[name] = Job(
                name,
                spec,
                project_number=project_number,
                trial=trial,
                executor=self._executor,
                ports=self._ports,
                state=self._state,
                record=record,
                preempt_every=self._preempt_every if is_spot(spec) else None,
            )
        if not run:
            record.write("JOB_STATE_QUEUED")
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
            if not job.ended and not job.cancelled.is_set():
                job.record.write("JOB_STATE_CANCELLING")
                job.stop(GRACE_SECONDS)

    def preempt(self, name: str, replica: str | None = None) -> None:
        """Takes machines of a spot job away: SIGTERM to its processes, SIGKILL after 30 s; returns at once.

        The whole job starts again after that, up to six times, and fails with STOCKOUT after that ("Use Spot
        VMs with training", Vertex AI docs, 2026-08-22). Should its primary replica exit with 0 in the 30 s,
        the job has succeeded, as whenever it does.

        Args:
            name: projects/P/locations/L/customJobs/ID.
            replica: The one whose machine goes, such as "workerpool1-0"; None for all of them.

        Raises:
            LookupError: The job has no such replica; its argument: the names of those that it has.
            ValueError: It is no spot job, or its replicas are not running; one line.
        """
        with self._lock:
            job = self._jobs.get(name)
        if job is None:
            raise ValueError("it is not running")
        names = [each.name for each in job.replicas]
        if replica is not None and replica not in names:
            raise LookupError(names)
        if not job.is_spot:
            raise ValueError("its scheduling.strategy is not SPOT: its machines are never preempted")
        with job.lock:
            job.preempt(names if replica is None else [replica])

    def running(self) -> list[str]:
        """The names of the jobs that have not ended."""
        with self._lock:
            return list(self._jobs)

    def close(self) -> None:
        """Kills the replicas without ending the jobs, which go on at their next start."""
        with self._lock:
            self._closed = True
            jobs, threads = list(self._jobs.values()), list(self._threads)
        for job in jobs:
            with job.lock:
                job.stop(0.0)
        for thread in threads:
            thread.join(10.0)

    def _conduct(self, job: Job) -> None:
        """A job's thread: from its record's state to an ended one, unless all is being closed."""
        state, failure = "JOB_STATE_FAILED", None
        try:
            if job.record.read().get("state") != "JOB_STATE_CANCELLING":
                failure = job.run()
                state = "JOB_STATE_FAILED" if failure else "JOB_STATE_SUCCEEDED"
            else:
                job.cancelled.set()
        except StartCancelled:
            pass
        except NotStarted as error:
            failure = Failure(INVALID_ARGUMENT, str(error))
        except Exception as error:  # a fault of ours must end the job, not leave it running for ever
            _logger.exception("custom job %s", job.name)
            failure = Failure(INTERNAL, f"{type(error).__name__}: {error}")
        with job.lock:
            job.ended = True
            if not self._closed:
                if job.cancelled.is_set():
                    state, failure = "JOB_STATE_CANCELLED", None
                job.record.write(state, failure)
        with self._lock:
            self._jobs.pop(job.name, None)
