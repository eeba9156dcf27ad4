"""One run: a thread that commits what the plan decides and hands ready tasks to the workers."""

import contextlib
import heapq
import logging
import queue
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainwright.local.engine.names import workspace
from trainwright.local.engine.outcomes import CANCELLED_CODE, Failure, Inputs, Outcome, State
from trainwright.local.engine.pipeline_run import PipelineRun
from trainwright.local.engine.plan import Decision, Kind, Node, Plan
from trainwright.local.engine.pool import Pool
from trainwright.local.engine.records import Ledger, Row
from trainwright.local.engine.spec import Spec
from trainwright.local.engine.task import Attempt, TaskRunner
from trainwright.local.store import Store

TERMINAL = {"PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED"}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Started:
    """The process of a task exists."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class _Ended:
    """An attempt at a task has ended."""

    attempt: Attempt
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Cancel:
    """Somebody asked for the run to stop, and waits until that is recorded."""

    recorded: threading.Event


@dataclass(frozen=True, slots=True)
class _Close:
    """The engine stops; the run goes on when it starts again."""


_Event = _Started | _Ended | _Cancel | _Close


class Run:
    """A run that is going on.

    What the plan decides is committed in one transaction, and only then acted upon: a process that is killed
    at any instant leaves records from which a new `Run` goes on.

    Args:
        run: What was asked for.
        spec: Its spec, read.
        inputs: The root's inputs.
        store: Where records go.
        runner: Runs tasks.
        pool: Worker threads, shared with other runs.
        state: The state folder.
        ended: Called with the run's name when nothing of it is left to do.
    """

    def __init__(
        self,
        run: PipelineRun,
        spec: Spec,
        inputs: Inputs,
        *,
        store: Store,
        runner: TaskRunner,
        pool: Pool,
        state: Path,
        ended: Callable[[str], None],
    ) -> None:
        self._run = run
        self._spec = spec
        self._store = store
        self._runner = runner
        self._pool = pool
        self._ended = ended
        self._ledger = Ledger(store, run, state)
        self._workspace = workspace(state, run)
        self._plan = Plan(spec, run, inputs, self._ledger.outcomes, self._ledger.begun, str(self._workspace))
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._attempts: dict[str, Attempt] = {}
        self._retries: list[tuple[float, str]] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._main, name=f"run {run.job_id}", daemon=True)
        self._is_cancelling = self._ledger.previous.get("state") == "PIPELINE_STATE_CANCELLING"

    def start(self) -> None:
        """Records the run as running and returns; the rest happens in a thread of its own."""
        self._workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._is_cancelling:
            self._store.write_many([self._ledger.run_row("PIPELINE_STATE_RUNNING", None, time.time())])
        self._thread.start()

    def cancel(self) -> None:
        """Asks the run to stop, and returns when that is recorded.

        Processes get SIGTERM, and SIGKILL when they do not heed it.
        """
        asked = _Cancel(threading.Event())
        self._events.put(asked)
        while not asked.recorded.wait(0.2) and self._thread.is_alive():
            pass

    @property
    def is_over(self) -> bool:
        """Whether no further task is going to start."""
        return self._plan.is_cancelled or not self._thread.is_alive()

    def close(self) -> None:
        """Stops without a trace: the run goes on when it is started again."""
        self._closed.set()
        self._events.put(_Close())

    def _main(self) -> None:
        try:
            decision = self._plan.begin()
            if self._is_cancelling:  # before the engine was killed
                self._plan.cancelled()
            self._follow(decision)
            while not self._closed.is_set() and not self._plan.root.state.is_final:
                self._step()
        except Exception as error:  # a fault of ours must not leave a run that never ends
            _logger.exception("run %s", self._run.name)
            self._abort(f"internal error: {type(error).__name__}: {error}")
        finally:
            if self._plan.root.state.is_final:
                shutil.rmtree(self._workspace, ignore_errors=True)
                with contextlib.suppress(OSError):  # what failed tasks left is kept
                    self._workspace.parent.rmdir()
            self._ended(self._run.name)

    def _step(self) -> None:
        """Waits for events, takes all there are, and commits and acts once for all of them."""
        wait = max(0.0, self._retries[0][0] - time.monotonic()) if self._retries else None
        decisions: list[Decision] = []
        try:
            event = self._events.get(timeout=wait)
            while not self._closed.is_set():
                decisions.append(self._heard(event))
                event = self._events.get_nowait()
        except queue.Empty:
            pass
        if self._closed.is_set():
            return
        changed = dict.fromkeys(node for decision in decisions for node in decision.changed)
        ready = tuple(node for decision in decisions for node in decision.ready)
        self._follow(Decision(tuple(changed), ready))
        while self._retries and self._retries[0][0] <= time.monotonic():
            path = heapq.heappop(self._retries)[1]
            self._submit(self._plan.node(path), self._attempts[path].number + 1, goes_on=False)

    def _heard(self, event: _Event) -> Decision:
        match event:
            case _Started(attempt):
                self._ledger.started(attempt.path, attempt.number, time.time())
                return self._plan.started(attempt.path)
            case _Ended(attempt, outcome):
                return self._end(attempt, outcome)
            case _Cancel(recorded):
                return self._stop(recorded)
        return Decision((), ())

    def _end(self, attempt: Attempt, outcome: Outcome) -> Decision:
        path = attempt.path
        self._ledger.ended(path, attempt.fingerprint, attempt.exit_code)
        if outcome.state is State.FAILED and attempt.task.retry and not attempt.cancelled.is_set():
            delay = attempt.task.retry.delay(attempt.number)
            if delay is not None and not self._plan.is_cancelled:
                self._ledger.failed(path, attempt.number)
                heapq.heappush(self._retries, (time.monotonic() + delay, path))
                return self._plan.retried(path)
        del self._attempts[path]
        return self._plan.finished(path, outcome)

    def _stop(self, recorded: threading.Event) -> Decision:
        if not self._commit([self._ledger.run_row("PIPELINE_STATE_CANCELLING", None, time.time())]):
            return Decision((), ())
        recorded.set()
        decision = self._plan.cancelled()
        waiting = {path for _, path in self._retries}
        self._retries.clear()
        cancelled = Outcome(State.CANCELLED, failure=Failure("the run was cancelled", CANCELLED_CODE))
        changed = dict.fromkeys(decision.changed)
        for path in waiting:
            del self._attempts[path]
            changed |= dict.fromkeys(self._plan.finished(path, cancelled).changed)
        for attempt in self._attempts.values():
            attempt.cancel()
        return Decision(tuple(changed), decision.ready)

    def _follow(self, decision: Decision) -> None:
        now = time.time()
        rows: list[Row] = []
        for node in decision.changed:
            if node.kind is Kind.EXECUTOR and node.state is State.SUCCEEDED:
                rows += self._ledger.result_rows(node, now)
        rows += self._ledger.rows(decision.changed, now)
        root = self._plan.root
        if root.state.is_final:
            rows.append(self._ledger.run_row(_final_state(root.state), root, now))
        if self._commit(rows):
            for node in decision.ready:
                if not node.state.is_final:
                    self._submit(node, *self._ledger.next_attempt(node.path))

    def _commit(self, rows: list[Row]) -> bool:
        """Writes. A full disk is waited for: to act on what is not recorded would lose it."""
        warned = False
        while rows:
            try:
                self._store.write_many(rows)
                break
            except sqlite3.OperationalError as error:
                if not warned:
                    _logger.warning("run %s waits: its state cannot be written: %s", self._run.job_id, error)
                    warned = True
                if self._closed.wait(1.0):
                    return False
        return not self._closed.is_set()

    def _submit(self, node: Node, number: int, goes_on: bool) -> None:
        if node.task is None:
            raise AssertionError("the root is no executor")
        attempt = Attempt(
            run=self._run,
            pipeline=self._spec.name,
            path=node.path,
            task=node.task,
            component=node.component,
            executor=self._plan.executor(node),
            inputs=node.inputs,
            names=self._plan.names(node),
            number=number,
            starts_anew=number > 1 and not goes_on,
        )
        self._attempts[attempt.path] = attempt
        if self._plan.is_cancelled:
            attempt.cancel()

        def work() -> None:
            outcome = self._runner.run(attempt, lambda: self._events.put(_Started(attempt)))
            self._events.put(_Ended(attempt, outcome))
            if outcome.state is State.SUCCEEDED:  # after the report: it takes a millisecond
                self._runner.clean(attempt)

        self._pool.submit(self._run.name, work)

    def _abort(self, message: str) -> None:
        if self._closed.is_set():
            return
        for attempt in list(self._attempts.values()):
            attempt.cancel()
        root = self._plan.root
        root.state, root.failure = State.FAILED, Failure(message, 13)  # google.rpc.Code.INTERNAL
        now = time.time()
        self._commit(
            [*self._ledger.rows([root], now), self._ledger.run_row("PIPELINE_STATE_FAILED", root, now)]
        )


def _final_state(state: State) -> str:
    return f"PIPELINE_STATE_{state.value}"
