"""Training pipelines that a task of an interrupted run had begun.

The AutoML ops of Google Cloud Pipeline Components keep no note of what they create, and call as any program
with the SDK does (google_cloud_pipeline_components 2.22.0, container/v1/aiplatform/remote_runner.py). Killed
with all of local Vertex, they would create their training a second time when the task runs again, while the
first goes on as well. So what an earlier process was asked for, and nobody has seen the end of, is given to
the next caller who asks for the same, as long as a run of then has not ended.
"""

import threading
import time

from google.cloud import aiplatform_v1 as v1

from trainwright.local.services.jobs import has_ended
from trainwright.local.store import Store


class Interrupted:
    """Which training pipelines somebody may still wait for whose process was killed.

    Args:
        store: Remembers whose end was seen (kind "seen").
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._started = time.time()
        self._runs: dict[str, float] | None = None
        self._seen: set[str] = set()
        self._given: set[str] = set()
        self._lock = threading.Lock()

    def note(self, name: str) -> None:
        """Remembers that somebody has seen the end of a pipeline."""
        if name not in self._seen:
            self._seen.add(name)
            self._store.write(f"{name}/seen", "seen", b"")

    def lost(
        self, pipeline: v1.TrainingPipeline, pipelines: list[v1.TrainingPipeline]
    ) -> v1.TrainingPipeline | None:
        """The pipeline that an interrupted run had begun with the same request; once each.

        Args:
            pipeline: What is asked for now.
            pipelines: Those that there are.
        """
        with self._lock:
            since = self._oldest_interrupted_run()
            if since is None:
                return None
            for other in pipelines:
                is_of_then = since <= other.create_time.timestamp() < self._started
                is_free = other.name not in self._given and self._store.read(f"{other.name}/seen") is None
                if is_of_then and is_free and _asked(other) == _asked(pipeline):
                    self._given.add(other.name)
                    return other
        return None

    def _oldest_interrupted_run(self) -> float | None:
        """When the oldest run began that this process goes on with; None: there is none any more."""
        if self._runs is None:
            self._runs = {
                record.name: record.created
                for record in self._store.list("run")
                if record.created < self._started and "/pipelineJobs/" in record.name
            }
        for name in list(self._runs):
            record = self._store.read(name)
            if record is None or has_ended(record.json().get("state", "")):
                del self._runs[name]
        return min(self._runs.values(), default=None)


def _asked(pipeline: v1.TrainingPipeline) -> v1.TrainingPipeline:
    asked = v1.TrainingPipeline(pipeline)
    for field in ("name", "create_time", "update_time"):
        v1.TrainingPipeline.pb(asked).ClearField(field)
    return asked
