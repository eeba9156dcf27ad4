"""What training pipelines can do: one class per training task definition, behind one interface."""

import time
from typing import Any, Protocol

from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format

from trainwright.local.services.custom_jobs import CustomJobs
from trainwright.local.services.resources import timestamp
from trainwright.local.storage import PlainObjects
from trainwright.local.training.exports import Exported

DEFINITIONS = "gs://google-cloud-aiplatform/schema/trainingjob/definition/"


class TrainingTask(Protocol):
    """One kind of training. A job does the work; it has a record `<job>/run` with its state.

    `start` may be called again for the same pipeline after a restart and then goes on with what is there.
    Every method but `start` and `cancel` is a pure question.
    """

    needs_dataset: bool

    def check(self, pipeline: v1.TrainingPipeline, columns: list[str] | None) -> None:
        """Says what can be known before a pipeline is created.

        Args:
            pipeline: As asked for.
            columns: Of the Dataset's table; None when there is none.

        Raises:
            ValueError: It is not valid or cannot run here; one line that names the field.
        """

    def folder(self, pipeline: v1.TrainingPipeline) -> str:
        """Where the Dataset's data are exported for the training: a `gs://` folder, ends with "/"."""

    def job(self, pipeline: v1.TrainingPipeline) -> str:
        """Name of the job that does the work; the pipeline's name decides it."""

    def start(self, pipeline: v1.TrainingPipeline, exported: Exported | None) -> None:
        """Starts the job, or goes on with it; returns at once."""

    def cancel(self, job: str) -> None:
        """Asks the job to stop."""

    def metadata(self, job: str) -> dict[str, Any]:
        """The training_task_metadata once the job is there."""

    def model(self, pipeline: v1.TrainingPipeline, exported: Exported | None) -> v1.Model | None:
        """The model to upload after the job, or None.

        Raises:
            ValueError: The job left no model.
        """

    def evaluation(self, pipeline: v1.TrainingPipeline) -> v1.ModelEvaluation | None:
        """The evaluation of the model that was uploaded, or None."""


class CustomTask:
    """`custom_task_1.0.0.yaml`: runs a custom job of one's own code.

    Inputs as CustomTrainingJob, CustomContainerTrainingJob and CustomPythonPackageTrainingJob send them
    (google-cloud-aiplatform 1.165.1, training_jobs.py): a CustomJobSpec in snake_case or camelCase.
    """

    needs_dataset = False

    def __init__(self, custom_jobs: CustomJobs, objects: PlainObjects) -> None:
        self._custom_jobs = custom_jobs
        self._objects = objects

    def check(self, pipeline: v1.TrainingPipeline, columns: list[str] | None) -> None:
        """As in `TrainingTask`."""
        spec = _custom_job_spec(pipeline)
        self._custom_jobs.check(spec)
        data = pipeline.input_data_config
        if data.bigquery_destination.output_uri:
            raise ValueError(
                "input_data_config.bigquery_destination: local Vertex exports to Cloud Storage; expected"
                " gcs_destination"
            )
        if data.dataset_id and not data.gcs_destination.output_uri_prefix.startswith("gs://"):
            found = data.gcs_destination.output_uri_prefix
            raise ValueError(
                f"input_data_config.gcs_destination.output_uri_prefix {found!r}: expected gs://BUCKET/…"
            )
        if not _uploads(pipeline):
            return
        if not spec.base_output_directory.output_uri_prefix:
            raise ValueError(
                "training_task_inputs.baseOutputDirectory: empty; expected where the model is written"
            )
        if not pipeline.model_to_upload.container_spec.image_uri:
            raise ValueError(
                "model_to_upload.container_spec.image_uri: empty; expected the image that serves the model"
            )

    def folder(self, pipeline: v1.TrainingPipeline) -> str:
        """As in `TrainingTask`: `dataset-<id>-<annotation type>-<time>` (InputDataConfig.gcs_destination)."""
        data = pipeline.input_data_config
        kind = data.annotation_schema_uri.rpartition("/")[2].partition("_1.0")[0] or "tables"
        created = pipeline.create_time
        stamp = f"{created:%Y-%m-%dT%H:%M:%S}.{created.microsecond // 1000:03d}Z"
        destination = data.gcs_destination.output_uri_prefix.rstrip("/")
        return f"{destination}/dataset-{data.dataset_id}-{kind}-{stamp}/"

    def job(self, pipeline: v1.TrainingPipeline) -> str:
        """As in `TrainingTask`: a custom job of the same id."""
        return str(pipeline.name.replace("/trainingPipelines/", "/customJobs/"))

    def start(self, pipeline: v1.TrainingPipeline, exported: Exported | None) -> None:
        """As in `TrainingTask`; the job is listed among the custom jobs."""
        spec = _custom_job_spec(pipeline)
        variables = (exported.environment() if exported else {}).items()
        for pool in spec.worker_pool_specs:
            for field in ("container_spec", "python_package_spec"):
                if field in pool:
                    container = getattr(pool, field)
                    container.env.extend(v1.EnvVar(name=name, value=value) for name, value in variables)
        job = v1.CustomJob(
            name=self.job(pipeline),
            display_name=f"{pipeline.display_name}-custom-job",
            job_spec=spec,
            labels=pipeline.labels,
            encryption_spec=pipeline.encryption_spec,
            create_time=timestamp(time.time()),
        )
        self._custom_jobs.start_named(job)

    def cancel(self, job: str) -> None:
        """As in `TrainingTask`."""
        self._custom_jobs.cancel_custom_job(v1.CancelCustomJobRequest(name=job), None)

    def metadata(self, job: str) -> dict[str, Any]:
        """As in `TrainingTask`."""
        return {"backingCustomJob": job}

    def model(self, pipeline: v1.TrainingPipeline, exported: Exported | None) -> v1.Model | None:
        """As in `TrainingTask`: what the job wrote to AIP_MODEL_DIR."""
        if not _uploads(pipeline):
            return None
        base = _custom_job_spec(pipeline).base_output_directory.output_uri_prefix.rstrip("/")
        if not self._objects.below(f"{base}/model"):
            raise ValueError(f'There are no files under "{base}/model" to copy.')
        model = v1.Model(pipeline.model_to_upload)
        model.artifact_uri = f"{base}/model"
        return model

    def evaluation(self, pipeline: v1.TrainingPipeline) -> v1.ModelEvaluation | None:
        """As in `TrainingTask`: none, as on Vertex AI."""
        return None


def _uploads(pipeline: v1.TrainingPipeline) -> bool:
    return "model_to_upload" in pipeline


def _custom_job_spec(pipeline: v1.TrainingPipeline) -> v1.CustomJobSpec:
    """The task's inputs as the spec of a custom job.

    Raises:
        ValueError: They are none.
    """
    inputs = json_format.MessageToDict(v1.TrainingPipeline.pb(pipeline).training_task_inputs)
    spec = v1.CustomJobSpec()
    try:
        json_format.ParseDict(inputs, v1.CustomJobSpec.pb(spec))
    except (json_format.ParseError, AttributeError, TypeError) as error:
        raise ValueError(f"training_task_inputs: not a custom job's spec: {error}") from None
    return spec
