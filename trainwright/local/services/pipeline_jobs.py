"""`google.cloud.aiplatform.v1.PipelineService`, the part for pipeline jobs.

A job is stored as it was created. What became of it is written by the engine (a "run" record and a
"pipelineTask" record for each task) and put together here when somebody asks.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from google.api_core.exceptions import AlreadyExists, InvalidArgument
from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2, json_format

from trainwright.local.engine import Engine, PipelineRun
from trainwright.local.services.jobs import Jobs, has_ended
from trainwright.local.services.metadata_lineage import Lineage
from trainwright.local.services.metadata_nodes import artifact_message
from trainwright.local.services.metadata_runs import has_execution, job_contexts, task_execution
from trainwright.local.services.names import Project, checked_id, location_of
from trainwright.local.services.operations import Operations
from trainwright.local.services.resources import check_mask, masked, timestamp
from trainwright.local.services.task_details import TaskDetails
from trainwright.local.store import Store, Summary

_STAMP = "%Y%m%d%H%M%S"
_MOST_OF_BATCH = 32  # reference of BatchCancelPipelineJobsRequest and BatchDeletePipelineJobsRequest, 2026-11
_SCHEDULED_ID = "schedule-0-19700101000000"  # of a run that is only checked


class PipelineJobs:
    """Creates, shows, cancels and deletes pipeline jobs."""

    def __init__(
        self, *, store: Store, engine: Engine, operations: Operations, project: Project, lineage: Lineage
    ) -> None:
        self._store = store
        self._engine = engine
        self._operations = operations
        self._project = project
        self._lineage = lineage
        self._details = TaskDetails(store, self._task)
        self._jobs: Jobs[v1.PipelineJob] = Jobs(
            store=store,
            operations=operations,
            project=project,
            message_type=v1.PipelineJob,
            first_state=v1.PipelineState.PIPELINE_STATE_PENDING,
            summarize=_summary,
        )

    def resume(self) -> None:
        """Goes on with every job that had not ended when the process before this one did."""
        for job in self._jobs.unfinished():
            self._engine.resume(self._run(job))

    def create_pipeline_job(self, request: v1.CreatePipelineJobRequest, context: Any) -> v1.PipelineJob:
        """Checks, records and starts a run.

        Raises:
            InvalidArgument: The spec, a parameter or a field cannot run here; nothing was created.
            AlreadyExists: There is a job of that id.
        """
        job_id = checked_id(request.pipeline_job_id, "pipeline_job_id")
        job, run = self._checked(request, job_id, schedule="")
        self._jobs.record(job)
        self._engine.start(run)
        return self._detailed(self._jobs.presented(job))

    def check(self, request: v1.CreatePipelineJobRequest) -> None:
        """Checks a request as `create_pipeline_job` does, and creates nothing.

        Raises:
            InvalidArgument: The spec, a parameter or a field cannot run here.
        """
        self._checked(request, _SCHEDULED_ID, schedule="")

    def create_scheduled(self, request: v1.CreatePipelineJobRequest, *, schedule: str, time: float) -> None:
        """Starts the run of a schedule's time, unless that was done before.

        Args:
            request: What the schedule was given; it stays as it is.
            schedule: Name of the schedule.
            time: Unix seconds of the time, the value of the schedule-time placeholder.

        Raises:
            InvalidArgument: The run cannot start any more, for example since an input artifact is gone.
        """
        job, run = self._checked(request, _scheduled_id(schedule, time), schedule=schedule)
        try:
            self._jobs.record(job)
        except AlreadyExists:  # from a process that was killed then; `resume` goes on with it
            return
        self._engine.start(run)

    def active_run_count(self, schedule: str) -> int:
        """How many runs of a schedule are in a state that is not final."""
        parent, _, schedule_id = schedule.partition("/schedules/")
        records = self._store.list("run", f"{parent}/pipelineJobs/schedule-{schedule_id}-")
        return sum(not has_ended(record.json()["state"]) for record in records)

    def get_pipeline_job(self, request: v1.GetPipelineJobRequest, context: Any) -> v1.PipelineJob:
        """The job with its state, its tasks, their artifacts and errors."""
        return self._detailed(self._jobs.get(request.name))

    def list_pipeline_jobs(
        self, request: v1.ListPipelineJobsRequest, context: Any
    ) -> v1.ListPipelineJobsResponse:
        """The jobs of a location; without task details when the caller's read mask leaves them out."""
        check_mask(v1.PipelineJob, request.read_mask)
        found, token = self._jobs.page(request)
        wanted = request.read_mask.paths
        if not wanted or any(path == "*" or path.startswith("job_detail") for path in wanted):
            found = [self._detailed(job) for job in found]
        answer = v1.ListPipelineJobsResponse(next_page_token=token)
        v1.ListPipelineJobsResponse.pb(answer).pipeline_jobs.extend(
            masked(v1.PipelineJob.pb(job), request.read_mask) for job in found
        )
        return answer

    def cancel_pipeline_job(self, request: v1.CancelPipelineJobRequest, context: Any) -> empty_pb2.Empty:
        """Asks the run to stop; it is CANCELLED once its processes are gone. An ended run stays as it is."""
        return self._jobs.cancel(request.name, self._engine.cancel)

    def delete_pipeline_job(self, request: v1.DeletePipelineJobRequest, context: Any) -> Any:
        """Forgets a job that has ended; its artifacts and logs stay.

        Raises:
            FailedPrecondition: It is still running.
        """
        job = self._jobs.ended(request.name)
        return self._jobs.delete(job, *self._store.names("pipelineTask", f"{job.name}/tasks/"))

    def batch_cancel_pipeline_jobs(self, request: v1.BatchCancelPipelineJobsRequest, context: Any) -> Any:
        """Asks runs to stop, as `cancel_pipeline_job` does; none when one of them is not there.

        Raises:
            InvalidArgument: There are no names, more than 32, or one is of another parent.
            NotFound: There is no such job.
        """
        names = self._batch(request.parent, request.names)
        for job in [self._jobs.get(name) for name in names]:
            self._jobs.cancel(job.name, self._engine.cancel)
        answer = v1.BatchCancelPipelineJobsResponse(pipeline_jobs=[self._jobs.get(name) for name in names])
        parent = self._project.canonical(request.parent)
        return self._operations.done(parent, answer, v1.BatchCancelPipelineJobsOperationMetadata())

    def batch_delete_pipeline_jobs(self, request: v1.BatchDeletePipelineJobsRequest, context: Any) -> Any:
        """Forgets jobs that have ended: all of them, or none when that cannot be.

        Raises:
            InvalidArgument: There are no names, more than 32, or one is of another parent.
            NotFound: There is no such job.
            FailedPrecondition: One is still running.
        """
        jobs = [self._jobs.ended(name) for name in self._batch(request.parent, request.names)]
        records = []
        for job in jobs:
            records += [*self._store.names("pipelineTask", f"{job.name}/tasks/"), f"{job.name}/run", job.name]
        self._store.delete_many(records)
        answer = v1.BatchDeletePipelineJobsResponse(pipeline_jobs=jobs)
        parent = self._project.canonical(request.parent)
        return self._operations.done(parent, answer, v1.DeleteOperationMetadata())

    def _batch(self, parent: str, names: Iterable[str]) -> list[str]:
        """The names of a batch, each once, with the project's number."""
        folder = f"{self._project.canonical(parent)}/pipelineJobs/"
        found = list(dict.fromkeys(self._project.canonical(name) for name in names))
        if not 1 <= len(found) <= _MOST_OF_BATCH:
            raise InvalidArgument(f"names: {len(found)}; expected 1 to {_MOST_OF_BATCH}")
        for name in found:
            if not name.startswith(folder):
                raise InvalidArgument(f"names: {name!r} is not in {folder!r}")
        return found

    def _checked(
        self, request: v1.CreatePipelineJobRequest, job_id: str, *, schedule: str
    ) -> tuple[v1.PipelineJob, PipelineRun]:
        job = v1.PipelineJob(request.pipeline_job)
        if not job.pipeline_spec:
            raise InvalidArgument(
                "pipeline_job.pipeline_spec: empty; local Vertex does not fetch template_uri itself"
            )
        if not job.runtime_config.gcs_output_directory.startswith("gs://"):
            found = job.runtime_config.gcs_output_directory
            raise InvalidArgument(f"runtime_config.gcs_output_directory {found!r}: expected gs://BUCKET/…")
        self._jobs.begin(job, request.parent, job_id)
        job.schedule_name = schedule
        job.display_name = job.display_name or job.pipeline_spec["pipelineInfo"]["name"]
        run = self._run(job)
        try:
            self._engine.check(run)
        except ValueError as error:
            raise InvalidArgument(str(error)) from None
        return job, run

    def _run(self, job: v1.PipelineJob) -> PipelineRun:
        plain = json_format.MessageToDict(v1.PipelineJob.pb(job))
        config = plain.get("runtimeConfig", {})
        legacy = {key: next(iter(value.values())) for key, value in config.get("parameters", {}).items()}
        return PipelineRun(
            name=job.name,
            display_name=job.display_name,
            spec=plain["pipelineSpec"],
            parameters={**legacy, **config.get("parameterValues", {})},
            input_artifacts={
                key: value["artifactId"] for key, value in config.get("inputArtifacts", {}).items()
            },
            pipeline_root=job.runtime_config.gcs_output_directory,
            project=self._project.id,
            project_number=self._project.number,
            location=location_of(job.name),
            service_account=job.service_account
            or f"{self._project.number}-compute@developer.gserviceaccount.com",
            failure_policy=re.sub("^PIPELINE_FAILURE_POLICY_", "", config.get("failurePolicy", "FAIL_SLOW")),
            labels=dict(job.labels),
            create_time=job.create_time.timestamp(),
            schedule_time=_schedule_time(job),
            network=job.network,
            encryption_key=job.encryption_spec.kms_key_name,
        )

    def _detailed(self, job: v1.PipelineJob) -> v1.PipelineJob:
        """Adds contexts and tasks to a job that has its state."""
        pipeline_context, run_context = job_contexts(job)
        detail: Any = v1.PipelineJob.pb(job).job_detail
        detail.pipeline_context.CopyFrom(v1.Context.pb(pipeline_context))
        detail.pipeline_run_context.CopyFrom(v1.Context.pb(self._lineage.with_parents(run_context)))
        detail.MergeFromString(self._details.of(job.name))
        return job

    def _task(self, job: str, task: dict) -> v1.PipelineTaskDetail:
        state = v1.PipelineTaskDetail.State[task["state"]]
        return v1.PipelineTaskDetail(
            task_id=int(task["taskId"]),
            parent_task_id=int(task["parentTaskId"] or 0),
            task_name=task["taskName"],
            task_unique_name=task["path"],
            create_time=timestamp(task["createTime"]),
            start_time=timestamp(task["startTime"]),
            end_time=timestamp(task["endTime"]),
            state=state,
            error=task["error"] or None,
            execution=task_execution(job, task) if has_execution(task) else None,
            inputs=self._artifacts(task["inputs"]["artifacts"]),
            outputs=self._artifacts(task["outputs"]["artifacts"]),
        )

    def _artifacts(self, names: dict[str, list[str]]) -> dict[str, v1.PipelineTaskDetail.ArtifactList]:
        lists = {}
        for key, values in names.items():
            records = [self._store.read(value) for value in values]
            lists[key] = v1.PipelineTaskDetail.ArtifactList(
                artifacts=[artifact_message(record.json()) for record in records if record is not None]
            )
        return lists


def _scheduled_id(schedule: str, time: float) -> str:
    moment = datetime.fromtimestamp(time, UTC)
    return f"schedule-{schedule.rpartition('/')[2]}-{moment:{_STAMP}}"


def _schedule_time(job: v1.PipelineJob) -> float | None:
    """The time in the id of a scheduled job: `_scheduled_id` put it there."""
    if not job.schedule_name:
        return None
    moment = datetime.strptime(job.name.rpartition("-")[2], _STAMP)
    return moment.replace(tzinfo=UTC).timestamp()


def _summary(job: Any) -> Summary:
    """The columns that pipeline jobs alone have, of the protobuf message."""
    info = job.pipeline_spec.fields["pipelineInfo"].struct_value
    return {
        "pipeline_name": info.fields["name"].string_value,
        "template_uri": job.template_uri,
        "schedule_name": job.schedule_name,
    }
