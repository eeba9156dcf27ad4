"""Jobs of launchers that were killed before they could write down what they had created.

A launcher of Google Cloud Pipeline Components creates its job, writes the name to `gcp_resources`, and asks
for the job from then on (google_cloud_pipeline_components 2.22.0, gcp_launcher/job_remote_runner.py). Killed
between the first two with all of local Vertex, it would create the job a second time when its task runs
again, while the first goes on as well. A launcher that asks has written the name; so a job that no launcher
ever asked for is given to the next one that creates the same.
"""

import threading
import time
from typing import Any, TypeVar

from trainwright.local.store import Store

Job = TypeVar("Job", bound=Any)
_LAUNCHER = "google-cloud-pipeline-components"


class Launched:
    """Which jobs of one kind launchers know.

    Args:
        store: Remembers it (kind "launched").
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._started = time.time()
        self._known: set[str] = set()
        self._given: set[str] = set()
        self._lock = threading.Lock()

    def note(self, name: str, context: Any) -> None:
        """Remembers that a launcher has asked for a job, which other callers do not matter for.

        Args:
            name: The job's.
            context: Of the call.
        """
        if _LAUNCHER in context.user_agent and name not in self._known:
            self._known.add(name)
            self._store.write(f"{name}/launched", "launched", b"")

    def lost(self, job: Job, jobs: list[Job], context: Any) -> Job | None:
        """A job that a launcher of an earlier process has created and that nobody knows; once each.

        Args:
            job: What a launcher asks to create now.
            jobs: Those that there are.
            context: Of the call.
        """
        if _LAUNCHER not in context.user_agent:
            return None
        with self._lock:
            for other in jobs:
                is_earlier = other.create_time.timestamp() < self._started
                if is_earlier and other.name not in self._given and _request(other) == _request(job):
                    # Not for good yet: this launcher may be killed at the same place again.
                    self._given.add(other.name)
                    if self._store.read(f"{other.name}/launched") is None:
                        return other
        return None


def _request(job: Any) -> Any:
    """What a launcher sets; its labels hold the run's id."""
    request = type(job)(job)
    for field in ("name", "create_time", "update_time"):
        type(job).pb(request).ClearField(field)
    return request
