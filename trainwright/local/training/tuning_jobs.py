"""Runs hyperparameter tuning jobs: a thread for each suggests trials, watches and ends them."""

import json
import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from trainwright.local.store import Store
from trainwright.local.training.custom_jobs import CustomJobs
from trainwright.local.training.failures import INTERNAL, INVALID_ARGUMENT, Failure
from trainwright.local.training.run_record import ENDED, RunRecord
from trainwright.local.training.trials import Trials
from trainwright.local.training.tuning.progress import decide
from trainwright.local.training.tuning.study import Study, study_of

_logger = logging.getLogger(__name__)
# How soon a trial's report is seen; looking costs a stat of each running trial's file.
_LOOK_AGAIN = 0.25


@dataclass
class _Job:
    """A job that has not ended. `lock` orders its state changes."""

    name: str
    study: Study
    trials: Trials
    created: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    woken: threading.Event = field(default_factory=threading.Event)
    cancelled: bool = False


class HyperparameterTuningJobs:
    """The hyperparameter tuning jobs of local Vertex AI.

    The parameters of a trial are in its "trial" record before its job is started, and a job's state is in its
    "run" record before anything follows from it. A job whose record has not ended is started again by
    `start`: trials that have ended stay, the others run again under the same id.

    Args:
        store: Where the records are.
        custom_jobs: Runs the trials.
        state: The state folder.
    """

    def __init__(self, *, store: Store, custom_jobs: CustomJobs, state: Path) -> None:
        self._store = store
        self._custom_jobs = custom_jobs
        self._state = state
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()
        self._unsubscribe = store.subscribe(self._changed)

    def check(self, job: dict) -> None:
        """Says what can be known before a job is created.

        Args:
            job: HyperparameterTuningJob as camelCase JSON.

        Raises:
            ValueError: It is not valid or cannot run here; one line that names the field.
        """
        study_of(job)
        try:
            self._custom_jobs.check(job.get("trialJobSpec", {}))
        except ValueError as error:
            raise ValueError(f"trialJobSpec.{error}") from None

    def start(self, name: str, job: dict, *, project_number: str, created: float) -> None:
        """Starts a job, or goes on with it after a restart of the serving process; returns at once.

        Args:
            name: projects/P/locations/L/hyperparameterTuningJobs/ID.
            job: HyperparameterTuningJob as camelCase JSON, checked.
            project_number: Decimal digits.
            created: Unix seconds; time limits of the study begin there.

        Raises:
            ValueError: As in `check`.
        """
        run = self._run(name)
        study = study_of(job)
        with self._lock:
            if self._closed.is_set() or name in self._jobs or run.get("state") in ENDED:
                return
            trials = Trials(
                name,
                study,
                job["trialJobSpec"],
                store=self._store,
                custom_jobs=self._custom_jobs,
                folder=self._state / "work" / "hyperparameterTuningJobs" / name.rpartition("/")[2],
                project_number=project_number,
                labels=job.get("labels", {}),
            )
            started = self._jobs[name] = _Job(name, study, trials, created)
            started.cancelled = run.get("state") == "JOB_STATE_CANCELLING"
        if not run:
            self._write(started, "JOB_STATE_PENDING")
        thread = threading.Thread(target=self._conduct, args=(started,), name=f"tuning-{name}", daemon=True)
        with self._lock:
            self._threads = [other for other in self._threads if other.is_alive()] + [thread]
        thread.start()

    def cancel(self, name: str) -> None:
        """Ends a job with its running trials; one that has ended stays as it is."""
        with self._lock:
            job = self._jobs.get(name)
        if job is None:
            return
        with job.lock:
            if not job.cancelled and self._run(name).get("state") not in ENDED:
                self._write(job, "JOB_STATE_CANCELLING")
                job.cancelled = True
        job.woken.set()

    def close(self) -> None:
        """Starts and ends no more trials; jobs go on at their next start."""
        self._unsubscribe()
        self._closed.set()
        with self._lock:
            jobs, threads = list(self._jobs.values()), list(self._threads)
        for job in jobs:
            job.woken.set()
        for thread in threads:
            thread.join(10.0)

    def _conduct(self, job: _Job) -> None:
        """A job's thread: until it has ended, or all is being closed."""
        try:
            job.trials.resume()
            while not self._closed.is_set():
                job.woken.clear()
                if self._step(job):
                    break
                job.woken.wait(_LOOK_AGAIN)
        except Exception as error:  # a fault of ours must end the job, not leave it running for ever
            _logger.exception("hyperparameter tuning job %s", job.name)
            with job.lock:
                if not self._closed.is_set():
                    job.trials.interrupt()
                    failure = Failure(INTERNAL, f"{type(error).__name__}: {error}")
                    self._write(job, "JOB_STATE_FAILED", failure)
        finally:
            with self._lock:
                self._jobs.pop(job.name, None)

    def _step(self, job: _Job) -> bool:
        """Looks at the trials and does what follows; whether the job has ended."""
        job.trials.follow()
        run = self._run(job.name)
        with job.lock:
            decision = decide(
                job.study,
                job.trials.all,
                cancelled=job.cancelled,
                over=bool(run.get("over")) or job.trials.exhausted,
                began=job.created,
                now=time.time(),
            )
            if decision.state:
                failure = Failure(INVALID_ARGUMENT, decision.error) if decision.error else None
                self._write(job, decision.state, failure)
                return True
            is_new = decision.over and not run.get("over")
            begins = run.get("state") == "JOB_STATE_PENDING" and job.trials.has_begun
            if is_new or begins:
                state = "JOB_STATE_RUNNING" if begins and not job.cancelled else run["state"]
                self._write(job, state, over=decision.over)
        if decision.interrupt:
            job.trials.interrupt(keep_measured=not job.cancelled and not decision.error)
        for _ in range(decision.wanted):
            if job.cancelled or self._closed.is_set() or not job.trials.add():
                job.woken.set()
                break
        return False

    def _changed(self, name: str) -> None:
        """Called by the store in the thread that wrote: the run of a trial's job wakes its conductor."""
        if "/customJobs/" in name and name.endswith("/run"):
            with self._lock:
                jobs = [job for job in self._jobs.values() if job.trials.has(name)]
            for job in jobs:
                job.woken.set()

    def _run(self, name: str) -> dict:
        return RunRecord(self._store, name).read()

    def _write(self, job: _Job, state: str, failure: Failure | None = None, *, over: bool = False) -> None:
        before, now = self._run(job.name), time.time()
        run = {
            "state": state,
            "startTime": before.get("startTime") or (now if state == "JOB_STATE_RUNNING" else None),
            "endTime": now if state in ENDED else None,
            "error": failure.json() if failure else None,
            "over": over or bool(before.get("over")),
        }
        self._store.write(f"{job.name}/run", "run", json.dumps(run).encode())
