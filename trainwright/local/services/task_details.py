"""The task details of pipeline jobs, made once for each change of a task.

A run of 10,000 tasks has 20,000 details, which take seconds to make from their records, and whoever waits
for the run asks for them twice a second. So they are kept as they go out, and the store says which of them
a commit has changed.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from google.cloud import aiplatform_v1 as v1

from trainwright.local.store import Store

# About 1 kB each.
_MOST_DETAILS = 50_000
_MOST_JOBS = 2_000


@dataclass
class _Job:
    """What is kept of one job: the rest under `lock`, but `changed` by any thread.

    `counted` is how many of its details are in the count of all, and under that one's lock.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    is_loaded: bool = False
    counted: int = 0
    details: dict[str, bytes] = field(default_factory=dict)
    artifacts: dict[str, set[str]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)


class TaskDetails:
    """The task details of all jobs. Methods may be called from any thread.

    Args:
        store: Where the engine records tasks.
        make: The detail of a task, from the job's name and the task's record.
    """

    def __init__(self, store: Store, make: Callable[[str, dict], v1.PipelineTaskDetail]) -> None:
        self._store = store
        self._make = make
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._count = 0
        store.subscribe(self._note)

    def of(self, job: str) -> bytes:
        """The details of a job's tasks in order of creation, as a serialized PipelineJobDetail.

        Args:
            job: Its resource name.
        """
        with self._lock:
            kept = self._jobs.setdefault(job, _Job())
            self._jobs.move_to_end(job)
        with kept.lock:
            self._refresh(job, kept)
            details = b"".join(kept.details.values())
            count = len(kept.details)
        with self._lock:
            if self._jobs.get(job) is kept:
                self._count += count - kept.counted
                kept.counted = count
            self._drop_oldest()
        return details

    def _refresh(self, job: str, kept: _Job) -> None:
        if not kept.is_loaded:
            # From here on commits are noted; one that is both noted and read is only read twice.
            for record in self._store.list("pipelineTask", f"{job}/tasks/"):
                self._keep(job, kept, record.name, record.json())
            kept.is_loaded = True
        while kept.changed:
            name = kept.changed.pop()
            found = self._store.read(name)
            if found is not None:
                self._keep(job, kept, name, found.json())
            else:
                kept.details.pop(name, None)

    def _keep(self, job: str, kept: _Job, name: str, task: Mapping) -> None:
        detail = self._make(job, dict(task))
        # Messages of one repeated field, one after the other, are a message with all of them.
        kept.details[name] = v1.PipelineJobDetail.serialize(v1.PipelineJobDetail(task_details=[detail]))
        for side in ("inputs", "outputs"):
            for artifacts in task[side]["artifacts"].values():
                for artifact in artifacts:
                    kept.artifacts.setdefault(artifact, set()).add(name)

    def _note(self, name: str) -> None:
        """Hears of every commit, in the thread that made it."""
        job, is_task, _ = name.partition("/tasks/")
        with self._lock:
            if is_task:
                if job in self._jobs:
                    self._jobs[job].changed.add(name)
            elif "/artifacts/" in name:
                for kept in self._jobs.values():
                    kept.changed.update(kept.artifacts.get(name, ()))

    def _drop_oldest(self) -> None:
        while len(self._jobs) > 1 and (self._count > _MOST_DETAILS or len(self._jobs) > _MOST_JOBS):
            self._count -= self._jobs.popitem(last=False)[1].counted
