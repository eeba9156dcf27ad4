"""`google.cloud.aiplatform.v1.JobService`, the part for custom jobs."""

import time
from typing import Any

from google.api_core.exceptions import FailedPrecondition, InvalidArgument
from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2, json_format

from trainwright.local.services.launched import Launched
from trainwright.local.services.names import Project, new_id
from trainwright.local.services.operations import Operations, run_record
from trainwright.local.services.resources import Resources, timestamp
from trainwright.local.store import Store
from trainwright.local.training import CustomJobs as Training

_TERMINAL = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"}


class CustomJobs:
    """Creates, shows, cancels and deletes custom jobs; training runs them."""

    def __init__(self, *, store: Store, training: Training, operations: Operations, project: Project) -> None:
        self._store = store
        self._training = training
        self._operations = operations
        self._project = project
        self._launched = Launched(store)
        self._jobs: Resources[v1.CustomJob] = Resources(store, "customJob", v1.CustomJob, self._presented)

    def resume(self) -> None:
        """Starts again every job that had not ended when the process before this one did."""
        for job in self._jobs.all("projects/"):
            if run_record(self._store, job.name).get("state", "") not in _TERMINAL:
                self._start(job)

    def create_custom_job(self, request: v1.CreateCustomJobRequest, context: Any) -> v1.CustomJob:
        """Checks, records and starts a job.

        Raises:
            InvalidArgument: The job spec is not valid or cannot run here; nothing was created.
        """
        job = request.custom_job
        if not job.display_name:
            raise InvalidArgument("custom_job.display_name: empty; expected 1 to 128 characters")
        try:
            self._training.check(_spec(job))
        except ValueError as error:
            raise InvalidArgument(str(error)) from None
        folder = f"{self._project.canonical(request.parent)}/customJobs/"
        if found := self._launched.lost(job, self._jobs.all(folder), context):
            return self._presented(found)
        job.name = folder + new_id()
        job.create_time = job.update_time = timestamp(time.time())
        self._store.create(job.name, "customJob", v1.CustomJob.serialize(job))
        self._start(job)
        return self._presented(job)

    def get_custom_job(self, request: v1.GetCustomJobRequest, context: Any) -> v1.CustomJob:
        """The job with its state and error."""
        job = self._jobs.get(self._project.canonical(request.name))
        self._launched.note(job.name, context)
        return job

    def list_custom_jobs(self, request: v1.ListCustomJobsRequest, context: Any) -> v1.ListCustomJobsResponse:
        """The jobs of a location."""
        jobs = self._jobs.all(f"{self._project.canonical(request.parent)}/customJobs/")
        found, token = self._jobs.page(jobs, request)
        return v1.ListCustomJobsResponse(custom_jobs=found, next_page_token=token)

    def cancel_custom_job(self, request: v1.CancelCustomJobRequest, context: Any) -> empty_pb2.Empty:
        """Asks the job to stop; it is CANCELLED once its processes are gone. An ended job stays as it is."""
        name = self._project.canonical(request.name)
        if self._jobs.get(name).state.name not in _TERMINAL:
            self._training.cancel(name)
        return empty_pb2.Empty()

    def delete_custom_job(self, request: v1.DeleteCustomJobRequest, context: Any) -> Any:
        """Forgets a job that has ended; what it wrote stays.

        Raises:
            FailedPrecondition: It is still running.
        """
        name = self._project.canonical(request.name)
        if self._jobs.get(name).state.name not in _TERMINAL:
            raise FailedPrecondition(f"CustomJob {name!r} has not ended: cancel it first")
        for record in (f"{name}/run", f"{name}/launched", name):
            self._store.delete(record)
        return self._operations.done(name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def _start(self, job: v1.CustomJob) -> None:
        self._training.start(
            job.name, _spec(job), project_number=self._project.number, labels=dict(job.labels)
        )

    def _presented(self, job: v1.CustomJob) -> v1.CustomJob:
        run = run_record(self._store, job.name)
        job.state = v1.JobState[run.get("state") or "JOB_STATE_QUEUED"]
        job.start_time = timestamp(run.get("startTime"))
        job.end_time = timestamp(run.get("endTime"))
        job.update_time = timestamp(run.get("endTime") or run.get("startTime")) or job.create_time
        if run.get("error"):
            job.error = run["error"]
        return job


def _spec(job: v1.CustomJob) -> dict:
    return json_format.MessageToDict(v1.CustomJob.pb(job).job_spec)
