"""One custom job from queued to ended: its replicas, what becomes of it when one ends, its preemptions."""

import contextlib
import enum
import queue
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainwright.local.execution import (
    EnvironmentFailed,
    Executor,
    Outcome,
    Running,
    UnknownImage,
    Work,
)
from trainwright.local.training.cluster import Ports, addresses_of, vertex_environment
from trainwright.local.training.failures import (
    DEADLINE_EXCEEDED,
    Failure,
    Step,
    after_preemption,
    failure_of,
    is_lost,
    memory_kills,
    step_after,
)
from trainwright.local.training.replicas import Replica, replicas_of
from trainwright.local.training.run_record import RunRecord
from trainwright.local.training.specs import is_spot, timeout_of

GRACE_SECONDS = 30.0
"""From SIGTERM to SIGKILL: the notice of a Compute Engine spot VM before it is stopped
(https://cloud.google.com/compute/docs/instances/spot, 2026-08)."""

# Replicas of one framework fail within moments of the one that is the reason, whose end must be seen first.
_SETTLING_SECONDS = 0.1
# The kernel counts what it kills for memory on the whole machine: only a late kill can be that of a replica.
_LOOK_SECONDS = 5.0


class NotStarted(Exception):
    """A replica could not be started; one line with its name and the reason."""


@dataclass(frozen=True)
class _Ended:
    """The process of a replica has ended."""

    replica: str
    running: Running
    outcome: Outcome


@dataclass(frozen=True)
class _Preempted:
    """The machines of these replicas go; the record counts it already."""

    replicas: tuple[str, ...]
    preemptions: int


class _Course(enum.Enum):
    """How a job goes on, when it has not failed."""

    GO_ON = enum.auto()
    TRY_AGAIN = enum.auto()
    OVER = enum.auto()


_STOP = "stop"


class Job:
    """A job that has not ended. `run` is its thread; the other methods may be called from any.

    Args:
        name: projects/P/locations/L/customJobs/ID.
        spec: CustomJobSpec as camelCase JSON, checked.
        project_number: Decimal digits.
        trial: The number of the hyperparameter trial that it is; empty if none.
        executor: Runs the replicas.
        ports: Gives them theirs.
        state: The state folder.
        record: The job's.
        preempt_every: Seconds after which the whole job is preempted, again and again; None for never.
    """

    def __init__(
        self,
        name: str,
        spec: dict,
        *,
        project_number: str,
        trial: str,
        executor: Executor,
        ports: Ports,
        state: Path,
        record: RunRecord,
        preempt_every: float | None,
    ) -> None:
        self.name = name
        self.record = record
        self.replicas = replicas_of(spec)
        self.cancelled = threading.Event()
        """Also means "being closed"."""
        self.lock = threading.Lock()
        """Orders state changes."""
        self.ended = False
        self._spec = spec
        self._project_number = project_number
        self._trial = trial
        self._location = name.split("/")[3]
        self._executor = executor
        self._ports = ports
        self._state = state
        self._preempt_every = preempt_every
        self._mail: queue.SimpleQueue[_Ended | _Preempted | str] = queue.SimpleQueue()
        self._running: dict[str, Running] = {}
        self._restarts: dict[str, int] = {}
        self._losses: list[str] = []
        self._works: dict[str, Work] = {}
        self._is_up = False
        self._kills = (0, 0)
        self._next_preemption: float | None = None

    @property
    def id(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("/")[2]

    @property
    def is_spot(self) -> bool:
        """Whether its machines may be preempted."""
        return is_spot(self._spec)

    def stop(self, grace: float) -> None:
        """Ends the replicas: SIGTERM now, SIGKILL after so many seconds. The caller holds the lock."""
        self.cancelled.set()
        self._mail.put(_STOP)
        for running in self._running.values():
            running.terminate(grace)

    def preempt(self, replicas: Sequence[str]) -> None:
        """Takes the machines of these replicas away, which is counted first. The caller holds the lock.

        Raises:
            ValueError: They do not run; one line.
        """
        if not self._is_up or self.cancelled.is_set():
            raise ValueError("its replicas are not running, or are being preempted already")
        if not self._running.keys() & set(replicas):
            raise ValueError(f"{', '.join(replicas)} has ended, while the job goes on")
        self._is_up = False
        preemptions = self.record.read().get("preemptions", 0) + 1
        self.record.write("JOB_STATE_RUNNING", preemptions=preemptions)
        self._mail.put(_Preempted(tuple(replicas), preemptions))

    def run(self) -> Failure | None:
        """Runs the replicas, as often as it takes, to the job's end; None when it ended well or was stopped.

        Raises:
            StartCancelled: It was stopped before all replicas were started.
            NotStarted: One cannot be started.
        """
        with self.lock:
            if not self.cancelled.is_set() and self.record.read().get("state") == "JOB_STATE_QUEUED":
                self.record.write("JOB_STATE_PENDING")
        self._works = {replica.name: self._work(replica, {}) for replica in self.replicas}
        takers = sum(self._made_ready(name, work) for name, work in self._works.items())
        course: Failure | _Course = _Course.TRY_AGAIN
        with self._executor.slots(takers, self.cancelled):
            while course is _Course.TRY_AGAIN:
                course = self._attempt()
        if isinstance(course, Failure):
            return course
        for work in self._works.values():
            shutil.rmtree(work.scratch, ignore_errors=True)
        return None

    def _made_ready(self, name: str, work: Work) -> bool:
        with _named(name):
            return self._executor.make_ready(work, self.cancelled)

    def _work(self, replica: Replica, environment: Mapping[str, str]) -> Work:
        return Work(
            name=f"{self.id}/{replica.name}",
            image=replica.image,
            command=replica.command,
            args=replica.args,
            environment={**environment, **replica.environment},
            log_path=self._state / "logs" / "customJobs" / self.id / f"{replica.name}.log",
            scratch=self._state / "work" / "customJobs" / self.id / replica.name,
        )

    def _environment(self, replica: Replica, cluster: Mapping[int, Sequence[str]]) -> dict[str, str]:
        return vertex_environment(
            self._spec,
            replica,
            cluster,
            project_number=self._project_number,
            location=self._location,
            job_id=self.id,
            trial=self._trial,
        )

    def _attempt(self) -> Failure | _Course:
        """Runs all replicas at once, to the job's end or to the need of starting all of them again."""
        ports = self._ports.take(len(self.replicas))
        try:
            cluster = addresses_of(self.replicas, ports)
            self._works = {
                replica.name: self._work(replica, self._environment(replica, cluster))
                for replica in self.replicas
            }
            self._kills = (memory_kills(),) * 2
            for name in self._works:
                self._start(name)
            with self.lock:
                if not self.cancelled.is_set():
                    self.record.write("JOB_STATE_RUNNING")
                    self._is_up = True
            if self._preempt_every is not None:
                self._next_preemption = time.monotonic() + self._preempt_every
            return self._watch()
        finally:
            self._end_all()
            self._ports.give_back(ports)

    def _start(self, name: str) -> None:
        work = self._works[name]
        shutil.rmtree(work.scratch, ignore_errors=True)  # a restarted container begins with an empty disk too
        with _named(name):
            running = self._executor.start(work, self.cancelled, has_slot=True)
        with self.lock:
            self._running[name] = running
            if self.cancelled.is_set():  # between the start and here
                running.terminate(0.0)
        running.when_ended(lambda: self._note_end(name, running))

    def _note_end(self, name: str, running: Running) -> None:
        outcome = running.wait(0)
        assert outcome is not None
        self._mail.put(_Ended(name, running, outcome))

    def _watch(self) -> Failure | _Course:
        """Waits for what happens to the replicas, until it ends this attempt."""
        course: Failure | _Course = _Course.GO_ON
        while course is _Course.GO_ON:
            try:
                message = self._mail.get(timeout=self._patience())
            except queue.Empty:
                self._kills = (self._kills[1], memory_kills())
                if self._seconds_left() <= 0:
                    return self._timed_out()
                self._preempt_when_due()
                continue
            if isinstance(message, str) or self.cancelled.is_set():
                course = _Course.OVER
            elif isinstance(message, _Preempted):
                course = self._lose_machines(message)
            else:
                course = self._judge([message, *self._soon_after(message)])
        return course

    def _patience(self) -> float:
        left = min(self._seconds_left(), _LOOK_SECONDS)
        if self._next_preemption is not None:
            left = min(left, self._next_preemption - time.monotonic())
        return max(0.0, left)

    def _preempt_when_due(self) -> None:
        if self._next_preemption is not None and time.monotonic() >= self._next_preemption:
            self._next_preemption = None
            with self.lock, contextlib.suppress(ValueError):
                self.preempt(tuple(self._works))

    def _seconds_left(self) -> float:
        started = self.record.read().get("startTime") or time.time()
        return float(started + timeout_of(self._spec) - time.time())

    def _timed_out(self) -> Failure:
        log = self._works[self.replicas[0].name].log_path
        seconds = timeout_of(self._spec)
        return Failure(
            DEADLINE_EXCEEDED, f"The job ran for longer than its timeout of {seconds:g} s; log: {log}"
        )

    def _is_success(self, end: _Ended) -> bool:
        return end.replica == self.replicas[0].name and end.outcome.exit_code == 0

    def _soon_after(self, first: _Ended) -> list[_Ended]:
        """Further ends that come with one, where one of them may be its reason."""
        found: list[_Ended] = []
        others: list[_Preempted | str] = []
        code = first.outcome.exit_code
        alone = len(self.replicas) == 1 or code == 0 or is_lost(code)
        until = time.monotonic() + (0.0 if alone else _SETTLING_SECONDS)
        with contextlib.suppress(queue.Empty):
            while (left := until - time.monotonic()) > 0:
                message = self._mail.get(timeout=left)
                if isinstance(message, _Ended):
                    found.append(message)
                else:
                    others.append(message)
        for other in others:
            self._mail.put(other)
        return found

    def _judge(self, ends: list[_Ended]) -> Failure | _Course:
        """What follows from the ends of replicas; those that go on alone are restarted here."""
        current = [end for end in ends if self._running.get(end.replica) is end.running]
        with self.lock:
            for end in current:
                del self._running[end.replica]
        if any(map(self._is_success, current)):
            return _Course.OVER
        # The older of two looks: the newer one may lie between a kill and this.
        ran_out = memory_kills() > self._kills[0]
        # A replica that was lost explains those that failed with it, not the other way round.
        for end in sorted(current, key=lambda end: not is_lost(end.outcome.exit_code)):
            if end.outcome.exit_code != 0:
                course = self._follow(end, ran_out_of_memory=ran_out)
                if course is not _Course.GO_ON:
                    return course
        return _Course.GO_ON

    def _follow(self, end: _Ended, *, ran_out_of_memory: bool) -> Failure | _Course:
        """What follows from a replica's end with an error."""
        code, restarts = end.outcome.exit_code, self._restarts.get(end.replica, 0)
        retries = self.record.read().get("retries", 0)
        step = step_after(
            code, ran_out_of_memory=ran_out_of_memory, restarts=restarts, retries=retries, spec=self._spec
        )
        ended = f"{end.replica} ended with {code}"
        if step is Step.FAIL:
            log = self._works[end.replica].log_path
            lost = [name for name in self._losses if name != end.replica]
            return failure_of(end.replica, end.outcome, log, ran_out_of_memory=ran_out_of_memory, losses=lost)
        if step is Step.RETRY_JOB:
            self._say(self._works, f"{ended}; all replicas start again: retry {retries + 1} of the job")
            self._start_afresh(retries=retries + 1)
            return _Course.TRY_AGAIN
        self._restarts[end.replica] = restarts + 1
        if step is Step.RESTART_ALL:
            self._say(self._works, f"{ended}; all replicas start again: restart {restarts + 1} of this one")
            return _Course.TRY_AGAIN
        self._say([end.replica], f"{ended}; restart {restarts + 1}")
        self._losses.append(end.replica)
        self._start(end.replica)
        return _Course.GO_ON

    def _start_afresh(self, *, retries: int | None = None) -> None:
        """Notes that the whole job starts again, with no replica restarted yet."""
        self._restarts, self._losses = {}, []
        with self.lock:
            if not self.cancelled.is_set():
                self.record.write("JOB_STATE_RUNNING", retries=retries)

    def _lose_machines(self, preempted: _Preempted) -> Failure | _Course:
        """Takes the machines of replicas away, and with them the job's."""
        number = preempted.preemptions
        self._say(preempted.replicas, f"preemption {number}: SIGTERM now, SIGKILL in {GRACE_SECONDS:g} s")
        with self.lock:
            going = [self._running[name] for name in preempted.replicas if name in self._running]
            for running in going:
                running.terminate(GRACE_SECONDS)
        for running in going:
            running.wait()
        primary = self._running.get(self.replicas[0].name)
        outcome = primary.wait(0) if primary is not None else None
        if self.cancelled.is_set() or (outcome is not None and outcome.exit_code == 0):
            return _Course.OVER
        failure = after_preemption(number, location=self._location, spec=self._spec)
        if failure is not None:
            return failure
        self._say(self._works, f"all replicas start again after preemption {number}")
        self._start_afresh()
        return _Course.TRY_AGAIN

    def _end_all(self) -> None:
        """Ends what still runs, and waits for that."""
        with self.lock:
            self._is_up = False
            running = list(self._running.values())
            for each in running:
                each.terminate(GRACE_SECONDS)
        for each in running:
            each.wait()
        with self.lock:
            self._running = {}

    def _say(self, replicas: Sequence[str] | Mapping[str, Work], text: str) -> None:
        """Writes a line of ours into the logs of these replicas."""
        for name in replicas:
            with open(self._works[name].log_path, "a", encoding="utf-8") as file:
                file.write(f"local Vertex: {text}\n")


@contextlib.contextmanager
def _named(replica: str) -> Iterator[None]:
    """Says which replica could not be started."""
    try:
        yield
    except (EnvironmentFailed, UnknownImage, OSError) as error:
        raise NotStarted(f"The replica {replica} could not be started: {error}") from error
