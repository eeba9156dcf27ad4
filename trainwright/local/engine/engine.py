"""The engine: runs of pipelines, started, continued, cancelled."""

import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trainwright.local.engine.check import prepared
from trainwright.local.engine.google_ops import check_ops
from trainwright.local.engine.names import log_path, workspace
from trainwright.local.engine.pipeline_run import PipelineRun
from trainwright.local.engine.pool import Pool
from trainwright.local.engine.records import Ledger, Records, run_record
from trainwright.local.engine.run import TERMINAL, Run
from trainwright.local.engine.spec import Container, Spec
from trainwright.local.engine.task import TaskRunner, run_environment
from trainwright.local.execution import Executor, Mailer, Work
from trainwright.local.store import Store

# Threads that wait for a process each; how many processes there are at once is the executor's to say.
_WORKERS = 64


class Engine:
    """Runs pipelines over one state folder. Its methods may be called from any thread.

    Args:
        store: Where runs, tasks, artifacts and cache entries are recorded.
        executor: Starts the processes of tasks.
        state: The state folder.
        smtp: The server that notifications are sent through, as `Mailer` takes it; None sends none.
    """

    def __init__(
        self, *, store: Store, executor: Executor, state: Path, smtp: Mapping[str, Any] | None = None
    ) -> None:
        self._store = store
        self._executor = executor
        self._state = state
        self._records = Records(store)
        mailer = Mailer(state / "outbox", smtp)
        self._runner = TaskRunner(executor=executor, results=self._records, mailer=mailer, state=state)
        self._pool = Pool(_WORKERS)
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self._closed = False

    def check(self, run: PipelineRun) -> None:
        """Says what is wrong with a run before it starts.

        Raises:
            ValueError: One line: an unknown, missing or wrongly typed parameter or artifact; a damaged spec;
                a feature that is not supported, with the field's name; an op of Google's whose work cannot be
                done here, with the reason.
        """
        spec, _ = prepared(run, self._records.artifact)
        check_ops(spec, self._executor.private_image)

    def start(self, run: PipelineRun) -> None:
        """Starts a run, or goes on with one that was interrupted, and returns.

        Tasks that ended stay ended, others run again. A run that has ended, or is going on, is left alone.

        Raises:
            ValueError: As `check`.
        """
        record = self._store.read(run_record(run.name))
        if record is not None and record.json()["state"] in TERMINAL:
            return
        spec, inputs = prepared(run, self._records.artifact, str(workspace(self._state, run)))
        with self._lock:
            if self._closed or run.name in self._runs:
                return
            going = Run(
                run,
                spec,
                inputs,
                store=self._store,
                runner=self._runner,
                pool=self._pool,
                state=self._state,
                ended=self._forget,
            )
            self._runs[run.name] = going
        try:
            going.start()
        except BaseException:  # its state cannot be written
            self._forget(run.name)
            raise
        self._executor.prepare(_works(run, spec, self._state), lambda: going.is_over)

    def resume(self, run: PipelineRun) -> None:
        """Goes on with a run that was interrupted; one that cannot go on any more has failed.

        That is when an input artifact was deleted meanwhile, or a newer version refuses the spec.
        """
        try:
            self.start(run)
        except ValueError as error:
            ledger = Ledger(self._store, run, self._state)
            self._store.write_many([ledger.failed_row(f"the run cannot go on: {error}", time.time())])

    def cancel(self, name: str) -> None:
        """Asks a run to stop and returns; its record says CANCELLED once its processes have ended.

        A run that has ended stays as it is.
        """
        with self._lock:
            going = self._runs.get(name)
        if going is not None:
            going.cancel()

    def close(self) -> None:
        """Stops acting. Runs that have not ended go on at the next start.

        Close the executor after this: it ends their processes.
        """
        with self._lock:
            self._closed = True
            runs = list(self._runs.values())
        self._pool.close()
        for going in runs:
            going.close()

    def _forget(self, name: str) -> None:
        with self._lock:
            self._runs.pop(name, None)


def _works(run: PipelineRun, spec: Spec, state: Path) -> Iterable[Work]:
    """The spec's containers, for the executor to prepare for; placeholders are not resolved yet."""
    used = {component.executor for component in spec.components.values() if component.executor}
    for label in sorted(used):
        container = spec.executors[label]
        if isinstance(container, Container):
            yield Work(
                name=label,
                image=container.image,
                command=container.command,
                args=container.args,
                environment=run_environment(run),
                log_path=log_path(state, run, label),
                scratch=state / "work" / run.job_id,
            )
