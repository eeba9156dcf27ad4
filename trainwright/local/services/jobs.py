"""Jobs of every kind: what the services that run something do in the same way.

A job is stored as it was created. What became of it stands in its "run" record, which the engine or training
writes: state, startTime, endTime (Unix seconds) and error (google.rpc.Status as JSON).
"""

import re
import sys
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from google.api_core.exceptions import AlreadyExists, FailedPrecondition, InvalidArgument
from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2

from trainwright.local.services.names import Project, new_id
from trainwright.local.services.operations import Operations, run_record, run_summary
from trainwright.local.services.resources import Resources, check_labels, timestamp
from trainwright.local.services.selection import summary
from trainwright.local.store import Store, Summary

Job = TypeVar("Job", bound=Any)
_LONGEST_NAME = 128
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")


class Jobs(Generic[Job]):
    """The jobs of one kind.

    Args:
        store: Where they are.
        operations: Keeps the operation of a deletion.
        project: For names.
        message_type: The proto-plus class, e.g. `aiplatform_v1.CustomJob`; names its kind and collection.
        first_state: Of a job that has no run yet, e.g. `aiplatform_v1.JobState.JOB_STATE_QUEUED`.
        summarize: Further columns of the job's summary in the store, from its protobuf message.
    """

    def __init__(
        self,
        *,
        store: Store,
        operations: Operations,
        project: Project,
        message_type: Any,
        first_state: Any,
        summarize: Callable[[Any], Summary] = lambda message: {},
    ) -> None:
        self._store = store
        self._operations = operations
        self._project = project
        self._type = message_type
        self._first_state = first_state
        self._kind = message_type.__name__[0].lower() + message_type.__name__[1:]
        self._summarize = summarize
        self._jobs: Resources[Job] = Resources(store, self._kind, message_type, self.presented)
        store.summarize(self._kind, self._summary, run_summary)

    def begin(self, job: Job, parent: str, job_id: str = "") -> None:
        """Checks what every job must keep to, and gives it its name and its times; it is not recorded yet.

        Args:
            job: Is changed.
            parent: The location, as the caller named it.
            job_id: A new one when empty.

        Raises:
            InvalidArgument: The display name is longer than 128 characters, or a label is none.
        """
        self._check(job)
        job.name = f"{self._project.canonical(parent)}/{self._kind}s/{job_id or new_id()}"
        job.create_time = job.update_time = timestamp(time.time())

    def record(self, job: Job) -> None:
        """Records a new job under its name.

        Raises:
            AlreadyExists: There is a job of that name.
        """
        try:
            self._store.create(job.name, self._kind, self._type.serialize(job))
        except FileExistsError:
            raise AlreadyExists(f"{self._type.__name__} {job.name!r} exists already") from None

    def all(self, parent: str) -> list[Job]:
        """The jobs of a location as they were created, oldest first."""
        return self._jobs.all(f"{self._project.canonical(parent)}/{self._kind}s/")

    def unfinished(self) -> list[Job]:
        """The jobs of every location that have not ended, as they were created, oldest first."""
        going_on = " AND ".join(f"state NOT GLOB '*{ending}'" for ending in _ENDED)
        names = self._store.select(self._kind, "projects/", going_on, (), "sequence", slice(0, sys.maxsize))
        records = self._store.read_many(names)
        return [self._type.deserialize(record.payload) for record in records if record is not None]

    def get(self, name: str) -> Job:
        """The job with its state, times and error.

        Raises:
            NotFound: There is none of that name.
        """
        return self._jobs.get(self._project.canonical(name))

    def page(self, request: Any) -> tuple[list[Job], str]:
        """What a List request asks for, each with its state, times and error; and the next page's token."""
        return self._jobs.listed(f"{self._project.canonical(request.parent)}/{self._kind}s/", request)

    def cancel(self, name: str, cancel: Callable[[str], None]) -> empty_pb2.Empty:
        """Cancels a job, unless it has ended: then it stays as it is.

        Args:
            name: As the caller wrote it.
            cancel: Asks whatever runs the job to end it.
        """
        job = self.get(name)
        if not has_ended(job.state.name):
            cancel(job.name)
        return empty_pb2.Empty()

    def ended(self, name: str) -> Job:
        """A job that may be deleted.

        Raises:
            FailedPrecondition: It is still running.
        """
        job = self.get(name)
        if not has_ended(job.state.name):
            raise FailedPrecondition(f"{self._type.__name__} {job.name!r} has not ended: cancel it first")
        return job

    def delete(self, job: Job, *also: str) -> Any:
        """Forgets a job; what it wrote stays.

        Args:
            job: One that has ended.
            also: Names of further records that go with it, besides that of its run.
        """
        self._store.delete_many([*also, f"{job.name}/run", job.name])
        return self._operations.done(job.name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def presented(self, job: Job) -> Job:
        """The job, changed: with the state, times and error of its run."""
        run = run_record(self._store, job.name)
        # Not by proto-plus, whose attributes would take half of the time of a list.
        message: Any = self._type.pb(job)
        message.state = type(self._first_state)[run["state"]] if run.get("state") else self._first_state
        for field, seconds in (("start_time", run.get("startTime")), ("end_time", run.get("endTime"))):
            message.ClearField(field)
            if seconds is not None:
                getattr(message, field).CopyFrom(timestamp(seconds))
        changed = timestamp(run.get("endTime") or run.get("startTime"))
        message.update_time.CopyFrom(changed or message.create_time)
        if run.get("error"):
            job.error = run["error"]
        return job

    def _check(self, job: Job) -> None:
        """Checks what the references of all jobs say of the display name and the labels (2026-11)."""
        field = re.sub("([A-Z])", lambda match: f"_{match[1].lower()}", self._kind)
        if len(job.display_name) > _LONGEST_NAME:
            raise InvalidArgument(
                f"{field}.display_name {job.display_name!r}: expected {_LONGEST_NAME} characters at most"
            )
        check_labels(job.labels, f"{field}.labels")

    def _summary(self, payload: bytes) -> Summary:
        message: Any = self._type.pb().FromString(payload)
        return {**summary(message), "state": self._first_state.name, **self._summarize(message)}


def has_ended(state: str) -> bool:
    """Whether a JobState or PipelineState is final, by its name."""
    return state.endswith(_ENDED)
