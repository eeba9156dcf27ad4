"""`google.cloud.aiplatform.v1.JobService`, the part for batch prediction jobs."""

import re
from datetime import UTC
from typing import Any

from google.api_core.exceptions import InvalidArgument, MethodNotImplemented, NotFound
from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2, json_format

from trainwright.local.services.jobs import Jobs
from trainwright.local.services.launched import Launched
from trainwright.local.services.models import Models
from trainwright.local.services.names import Project
from trainwright.local.services.operations import Operations, run_record
from trainwright.local.services.predictions import plain
from trainwright.local.serving import (
    BATCH_SIZE,
    FORMATS,
    BatchPrediction,
    BatchPredictions,
    InstanceConfig,
    Served,
)
from trainwright.local.store import Store

_STAMP = "%Y_%m_%dT%H_%M_%S"


class BatchPredictionJobs:
    """Creates, shows, cancels and deletes batch prediction jobs; serving runs them."""

    def __init__(
        self,
        *,
        store: Store,
        predictions: BatchPredictions,
        models: Models,
        operations: Operations,
        project: Project,
    ) -> None:
        self._store = store
        self._predictions = predictions
        self._models = models
        self._project = project
        self._launched = Launched(store)
        self._jobs: Jobs[v1.BatchPredictionJob] = Jobs(
            store=store,
            operations=operations,
            project=project,
            message_type=v1.BatchPredictionJob,
            first_state=v1.JobState.JOB_STATE_PENDING,
        )

    def resume(self) -> None:
        """Starts again every job that had not ended when the process before this one did."""
        for job in self._jobs.unfinished():
            try:
                self._predictions.start(self._task(job))
            except NotFound as error:
                self._predictions.fail(job.name, error.message)

    def create_batch_prediction_job(
        self, request: v1.CreateBatchPredictionJobRequest, context: Any
    ) -> v1.BatchPredictionJob:
        """Checks, records and starts a job.

        Raises:
            InvalidArgument: A field is not valid, or the model cannot be served here; nothing was created.
            NotFound: There is no such model.
            MethodNotImplemented: It reads or writes what is not there: BigQuery, TFRecord, explanations.
        """
        job = request.batch_prediction_job
        _check(job)
        if job.model:
            model = self._models.resolve(job.model)
            job.model, job.model_version_id = model.name, model.version_id
        if found := self._launched.lost(job, self._jobs.all(request.parent), context):
            return self._presented(found)
        self._jobs.begin(job, request.parent)
        task = self._task(job)
        try:
            self._predictions.check(task)
        except ValueError as error:
            raise InvalidArgument(f"batch_prediction_job: {error}") from None
        self._jobs.record(job)
        self._predictions.start(task)
        return self._presented(job)

    def get_batch_prediction_job(
        self, request: v1.GetBatchPredictionJobRequest, context: Any
    ) -> v1.BatchPredictionJob:
        """The job with its state, counts, output and error."""
        job = self._jobs.get(request.name)
        self._launched.note(job.name, context)
        return self._presented(job)

    def list_batch_prediction_jobs(
        self, request: v1.ListBatchPredictionJobsRequest, context: Any
    ) -> v1.ListBatchPredictionJobsResponse:
        """The jobs of a location."""
        found, token = self._jobs.page(request)
        return v1.ListBatchPredictionJobsResponse(
            batch_prediction_jobs=[self._presented(job) for job in found], next_page_token=token
        )

    def cancel_batch_prediction_job(
        self, request: v1.CancelBatchPredictionJobRequest, context: Any
    ) -> empty_pb2.Empty:
        """Asks the job to stop; it is CANCELLED once its server is gone. An ended job stays as it is."""
        return self._jobs.cancel(request.name, self._predictions.cancel)

    def delete_batch_prediction_job(self, request: v1.DeleteBatchPredictionJobRequest, context: Any) -> Any:
        """Forgets a job that has ended; what it wrote stays.

        Raises:
            FailedPrecondition: It is still running.
        """
        job = self._jobs.ended(request.name)
        return self._jobs.delete(job, f"{job.name}/launched")

    def _task(self, job: v1.BatchPredictionJob) -> BatchPrediction:
        message = v1.BatchPredictionJob.pb(job)
        if job.model:
            model = self._models.resolve(f"{job.model}@{job.model_version_id}")
            title, container, artifact_uri = model.display_name, model.container_spec, model.artifact_uri
        else:
            title, unmanaged = job.display_name, job.unmanaged_container_model
            container, artifact_uri = unmanaged.container_spec, unmanaged.artifact_uri
        resources = json_format.MessageToDict(message.dedicated_resources)
        created = job.create_time.astimezone(UTC)
        stamp = f"{created.strftime(_STAMP)}_{created.microsecond // 1000:03d}Z"
        prefix = job.output_config.gcs_destination.output_uri_prefix.rstrip("/")
        config = job.instance_config
        return BatchPrediction(
            name=job.name,
            served=Served(
                spec=json_format.MessageToDict(v1.ModelContainerSpec.pb(container)),
                artifact_uri=artifact_uri,
                endpoint_id=job.name.rpartition("/")[2],
                deployed_model_id=job.name.rpartition("/")[2],
                project_number=self._project.number,
                machine=resources.get("machineSpec", {}),
            ),
            uris=tuple(job.input_config.gcs_source.uris),
            instances_format=job.input_config.instances_format,
            instance_config=InstanceConfig(
                config.instance_type,
                config.key_field,
                tuple(config.included_fields),
                tuple(config.excluded_fields),
            ),
            parameters=plain(message.model_parameters) if message.HasField("model_parameters") else None,
            batch_size=job.manual_batch_tuning_parameters.batch_size or BATCH_SIZE,
            # As seen of Vertex AI: prediction-usgs_earthquakes-2025_03_25T06_28_43_123Z.
            directory=f"{prefix}/prediction-{re.sub(r'[^A-Za-z0-9_-]', '_', title)}-{stamp}",
        )

    def _presented(self, job: v1.BatchPredictionJob) -> v1.BatchPredictionJob:
        job = self._jobs.presented(job)
        run = run_record(self._store, job.name)
        if run.get("outputDirectory"):
            job.output_info = v1.BatchPredictionJob.OutputInfo(gcs_output_directory=run["outputDirectory"])
        if run.get("successfulCount") or run.get("failedCount"):
            job.completion_stats = v1.CompletionStats(
                successful_count=run["successfulCount"], failed_count=run["failedCount"]
            )
        return job


def _check(job: v1.BatchPredictionJob) -> None:
    """Refuses what is not valid or not there.

    Raises:
        InvalidArgument: A field is not valid.
        MethodNotImplemented: What it asks for is not there.
    """
    message = v1.BatchPredictionJob.pb(job)
    if not 0 < len(job.display_name) <= 128:
        found = job.display_name
        raise InvalidArgument(f"batch_prediction_job.display_name {found!r}: expected 1 to 128 characters")
    if bool(job.model) == message.HasField("unmanaged_container_model"):
        raise InvalidArgument("batch_prediction_job: expected either model or unmanaged_container_model")
    for field, kind in (("input_config", "source"), ("output_config", "destination")):
        found = getattr(message, field).WhichOneof(kind)
        if found is None:
            raise InvalidArgument(f"batch_prediction_job.{field}: expected gcs_{kind}, found none")
        if found != f"gcs_{kind}":
            raise MethodNotImplemented(
                f"batch_prediction_job.{field}.{found}: local Vertex AI reads and writes Cloud Storage only"
            )
    if job.generate_explanation:
        raise MethodNotImplemented(
            "batch_prediction_job.generate_explanation: local Vertex AI explains nothing"
        )
    for field, found, known in (
        ("input_config.instances_format", job.input_config.instances_format, FORMATS),
        ("output_config.predictions_format", job.output_config.predictions_format, ("jsonl",)),
    ):
        if found not in known:
            raise InvalidArgument(
                f"batch_prediction_job.{field} {found!r}: local Vertex AI knows {', '.join(known)}"
            )
