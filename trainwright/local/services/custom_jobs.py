"""`google.cloud.aiplatform.v1.JobService`, the part for custom jobs."""

from typing import Any

from google.api_core.exceptions import InvalidArgument
from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2, json_format

from trainwright.local.services.jobs import Jobs
from trainwright.local.services.launched import Launched
from trainwright.local.services.names import Project
from trainwright.local.services.operations import Operations
from trainwright.local.store import Store
from trainwright.local.training import CustomJobs as Training


class CustomJobs:
    """Creates, shows, cancels and deletes custom jobs; training runs them."""

    def __init__(self, *, store: Store, training: Training, operations: Operations, project: Project) -> None:
        self._training = training
        self._project = project
        self._launched = Launched(store)
        self._jobs: Jobs[v1.CustomJob] = Jobs(
            store=store,
            operations=operations,
            project=project,
            message_type=v1.CustomJob,
            first_state=v1.JobState.JOB_STATE_QUEUED,
        )

    def resume(self) -> None:
        """Starts again every job that had not ended when the process before this one did."""
        for job in self._jobs.unfinished():
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
        if found := self._launched.lost(job, self._jobs.all(request.parent), context):
            return self._jobs.presented(found)
        self._jobs.begin(job, request.parent)
        self._jobs.record(job)
        self._start(job)
        return self._jobs.presented(job)

    def get_custom_job(self, request: v1.GetCustomJobRequest, context: Any) -> v1.CustomJob:
        """The job with its state and error."""
        job = self._jobs.get(request.name)
        self._launched.note(job.name, context)
        return job

    def list_custom_jobs(self, request: v1.ListCustomJobsRequest, context: Any) -> v1.ListCustomJobsResponse:
        """The jobs of a location."""
        found, token = self._jobs.page(request)
        return v1.ListCustomJobsResponse(custom_jobs=found, next_page_token=token)

    def cancel_custom_job(self, request: v1.CancelCustomJobRequest, context: Any) -> empty_pb2.Empty:
        """Asks the job to stop; it is CANCELLED once its processes are gone. An ended job stays as it is."""
        return self._jobs.cancel(request.name, self._training.cancel)

    def delete_custom_job(self, request: v1.DeleteCustomJobRequest, context: Any) -> Any:
        """Forgets a job that has ended; what it wrote stays.

        Raises:
            FailedPrecondition: It is still running.
        """
        job = self._jobs.ended(request.name)
        return self._jobs.delete(job, f"{job.name}/launched")

    def _start(self, job: v1.CustomJob) -> None:
        self._training.start(
            job.name, _spec(job), project_number=self._project.number, labels=dict(job.labels)
        )


def _spec(job: v1.CustomJob) -> dict:
    return json_format.MessageToDict(v1.CustomJob.pb(job).job_spec)
