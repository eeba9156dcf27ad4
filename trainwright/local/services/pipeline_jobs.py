"""`google.cloud.aiplatform.v1.PipelineService`, the part for pipeline jobs.

A job is stored as it was created. What became of it is written by the engine (a "run" record and a
"pipelineTask" record for each task) and put together here when somebody asks.
"""

import re
import time
from typing import Any

from google.api_core.exceptions import AlreadyExists, FailedPrecondition, InvalidArgument
from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2, json_format, struct_pb2

from trainwright.local.engine import Engine, PipelineRun
from trainwright.local.services.names import Project, checked_id, location_of
from trainwright.local.services.operations import Operations, run_record
from trainwright.local.services.resources import Resources, timestamp
from trainwright.local.store import Store

_TERMINAL = {"PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED"}


class PipelineJobs:
    """Creates, shows, cancels and deletes pipeline jobs."""

    def __init__(self, *, store: Store, engine: Engine, operations: Operations, project: Project) -> None:
        self._store = store
        self._engine = engine
        self._operations = operations
        self._project = project
        self._jobs: Resources[v1.PipelineJob] = Resources(
            store, "pipelineJob", v1.PipelineJob, self._presented
        )

    def resume(self) -> None:
        """Goes on with every job that had not ended when the process before this one did."""
        for job in self._jobs.all("projects/"):
            if run_record(self._store, job.name).get("state", "") not in _TERMINAL:
                self._engine.start(self._run(job))

    def create_pipeline_job(self, request: v1.CreatePipelineJobRequest, context: Any) -> v1.PipelineJob:
        """Checks, records and starts a run.

        Raises:
            InvalidArgument: The spec, a parameter or a field cannot run here; nothing was created.
            AlreadyExists: There is a job of that id.
        """
        parent = self._project.canonical(request.parent)
        job = request.pipeline_job
        if not job.pipeline_spec:
            raise InvalidArgument(
                "pipeline_job.pipeline_spec: empty; local Vertex does not fetch template_uri itself"
            )
        if not job.runtime_config.gcs_output_directory.startswith("gs://"):
            found = job.runtime_config.gcs_output_directory
            raise InvalidArgument(f"runtime_config.gcs_output_directory {found!r}: expected gs://BUCKET/…")
        job.name = f"{parent}/pipelineJobs/{checked_id(request.pipeline_job_id, 'pipeline_job_id')}"
        job.display_name = job.display_name or job.pipeline_spec["pipelineInfo"]["name"]
        job.create_time = job.update_time = timestamp(time.time())
        run = self._run(job)
        try:
            self._engine.check(run)
        except ValueError as error:
            raise InvalidArgument(str(error)) from None
        try:
            self._store.create(job.name, "pipelineJob", v1.PipelineJob.serialize(job))
        except FileExistsError:
            raise AlreadyExists(f"PipelineJob {job.name!r} exists already") from None
        self._engine.start(run)
        return self._presented(job)

    def get_pipeline_job(self, request: v1.GetPipelineJobRequest, context: Any) -> v1.PipelineJob:
        """The job with its state, its tasks, their artifacts and errors."""
        return self._jobs.get(self._project.canonical(request.name))

    def list_pipeline_jobs(
        self, request: v1.ListPipelineJobsRequest, context: Any
    ) -> v1.ListPipelineJobsResponse:
        """The jobs of a location; without task details when the caller's read mask leaves them out."""
        jobs = self._jobs.all(f"{self._project.canonical(request.parent)}/pipelineJobs/")
        found, token = self._jobs.page(jobs, request)
        return v1.ListPipelineJobsResponse(pipeline_jobs=found, next_page_token=token)

    def cancel_pipeline_job(self, request: v1.CancelPipelineJobRequest, context: Any) -> empty_pb2.Empty:
        """Asks the run to stop; it is CANCELLED once its processes are gone. An ended run stays as it is."""
        name = self._project.canonical(request.name)
        if self._jobs.get(name).state.name not in _TERMINAL:
            self._engine.cancel(name)
        return empty_pb2.Empty()

    def delete_pipeline_job(self, request: v1.DeletePipelineJobRequest, context: Any) -> Any:
        """Forgets a job that has ended; its artifacts and logs stay.

        Raises:
            FailedPrecondition: It is still running.
        """
        name = self._project.canonical(request.name)
        if self._jobs.get(name).state.name not in _TERMINAL:
            raise FailedPrecondition(f"PipelineJob {name!r} has not ended: cancel it first")
        for task in self._store.list("pipelineTask", f"{name}/tasks/"):
            self._store.delete(task.name)
        self._store.delete(f"{name}/run")
        self._store.delete(name)
        return self._operations.done(name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

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
            schedule_time=None,
            network=job.network,
            encryption_key=job.encryption_spec.kms_key_name,
        )

    def _presented(self, job: v1.PipelineJob) -> v1.PipelineJob:
        run = run_record(self._store, job.name)
        job.state = v1.PipelineState[run.get("state") or "PIPELINE_STATE_PENDING"]
        job.start_time = timestamp(run.get("startTime"))
        job.end_time = timestamp(run.get("endTime"))
        job.update_time = timestamp(run.get("endTime") or run.get("startTime")) or job.create_time
        if run.get("error"):
            job.error = run["error"]
        records = self._store.list("pipelineTask", f"{job.name}/tasks/")
        job.job_detail = v1.PipelineJobDetail(task_details=[self._task(record.json()) for record in records])
        return job

    def _task(self, task: dict) -> v1.PipelineTaskDetail:
        parameters = {f"input:{name}": value for name, value in task["inputs"]["parameters"].items()}
        parameters |= {f"output:{name}": value for name, value in task["outputs"]["parameters"].items()}
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
            execution=v1.Execution(
                display_name=task["taskName"],
                schema_title="system.DagExecution" if task.get("isDag") else "system.ContainerExecution",
                schema_version="0.0.1",
                metadata=_struct(parameters),
            ),
            inputs=self._artifacts(task["inputs"]["artifacts"]),
            outputs=self._artifacts(task["outputs"]["artifacts"]),
        )

    def _artifacts(self, names: dict[str, list[str]]) -> dict[str, v1.PipelineTaskDetail.ArtifactList]:
        lists = {}
        for key, values in names.items():
            records = [self._store.read(value) for value in values]
            lists[key] = v1.PipelineTaskDetail.ArtifactList(
                artifacts=[_artifact(record.json()) for record in records if record is not None]
            )
        return lists


def _artifact(artifact: dict) -> v1.Artifact:
    return v1.Artifact(
        name=artifact["name"],
        display_name=artifact.get("displayName", ""),
        uri=artifact.get("uri", ""),
        schema_title=artifact.get("schemaTitle", ""),
        schema_version=artifact.get("schemaVersion", ""),
        metadata=_struct(artifact.get("metadata", {})),
        state=v1.Artifact.State[artifact.get("state", "LIVE")],
        create_time=timestamp(artifact.get("createTime")),
    )


def _struct(values: dict) -> struct_pb2.Struct:
    return json_format.ParseDict(values, struct_pb2.Struct())
