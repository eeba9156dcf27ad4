"""What the store knows of a job's run: its "run" record."""

import json
import time
from typing import Any

from trainwright.local.store import Store
from trainwright.local.training.failures import Failure

ENDED = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}


class RunRecord:
    """A job's "run" record in the store: its state, times, error, and how often it was started again.

    Args:
        store: Where it is.
        name: The job's.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = f"{name}/run"

    def read(self) -> dict[str, Any]:
        """The record; empty when there is none."""
        record = self._store.read(self._name)
        return json.loads(record.payload) if record else {}

    def write(
        self,
        state: str,
        failure: Failure | None = None,
        *,
        preemptions: int | None = None,
        retries: int | None = None,
    ) -> None:
        """Writes the state.

        Args:
            state: A JobState's name.
            failure: Why it failed, if it did.
            preemptions: How often the job has been preempted; None if that has not changed.
            retries: How often it has been tried again as a whole after errors; None if that has not changed.
        """
        before, now = self.read(), time.time()
        run = {
            "state": state,
            "startTime": before.get("startTime") or (now if state == "JOB_STATE_RUNNING" else None),
            "endTime": now if state in ENDED else None,
            "error": failure.json() if failure else None,
            "outputs": {},
            "preemptions": before.get("preemptions", 0) if preemptions is None else preemptions,
            "retries": before.get("retries", 0) if retries is None else retries,
        }
        self._store.write(self._name, "run", json.dumps(run).encode())
