"""AutoML training on local Vertex: a real training by a local engine, and said to be one."""

import json
import math
from typing import Any, Protocol

from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format

from trainwright.local.services.names import location_of
from trainwright.local.services.operations import run_record
from trainwright.local.storage import PlainObjects
from trainwright.local.store import Store
from trainwright.local.training import CustomJobs as Training
from trainwright.local.training.automl_program import (
    CONFIG,
    IMAGE,
    PROGRAM,
    archive,
    serving_command,
    training_command,
)
from trainwright.local.training.exports import Exported

LABEL = "trainwright-local-automl"
_EVALUATIONS = "gs://google-cloud-aiplatform/schema/modelevaluation/"
_SECONDS_AN_HOUR = 3600.0


class AutoMLKind(Protocol):
    """What one kind of AutoML adds; `inputs` are those of the training task, without what is null."""

    module: str
    """Of the engine: the program that trains."""

    def check(self, inputs: dict[str, Any], columns: list[str] | None) -> None:
        """As `TrainingTask.check`."""

    def config(self, inputs: dict[str, Any], data: v1.InputDataConfig) -> dict[str, Any]:
        """What the engine is told, besides where the data are and the budget."""

    def hours(self, inputs: dict[str, Any]) -> float:
        """The budget that is asked for, in node hours."""

    def metrics_schema(self, inputs: dict[str, Any]) -> str:
        """Name of the schema of the metrics."""


class AutoMLTask:
    """A training by the local AutoML engine; methods as in `TrainingTask`.

    Args:
        kind: What is trained.
        store: For the state of jobs.
        training: Runs the engine.
        objects: Cloud Storage.
        project_number: Decimal digits.
        bucket: Where the data, the program and the model are kept: on Vertex AI, in Google's own storage.
        seconds: The most wall-clock seconds of a search, however large the budget that is asked for.
        models: Trials of a search in place of seconds: then the same data give the same model. 0: seconds.
    """

    needs_dataset = True

    def __init__(
        self,
        kind: AutoMLKind,
        *,
        store: Store,
        training: Training,
        objects: PlainObjects,
        project_number: str,
        bucket: str,
        seconds: float,
        models: int,
    ) -> None:
        self._kind = kind
        self._store = store
        self._training = training
        self._objects = objects
        self._project_number = project_number
        self._bucket = bucket
        self._seconds = seconds
        self._models = models

    def check(self, pipeline: v1.TrainingPipeline, columns: list[str] | None) -> None:
        """As in `TrainingTask`."""
        if "model_to_upload" not in pipeline:
            raise ValueError("model_to_upload: empty; expected at least a display_name")
        self._kind.check(_inputs(pipeline), columns)
        self._training.check(self._spec(pipeline))

    def folder(self, pipeline: v1.TrainingPipeline) -> str:
        """As in `TrainingTask`."""
        return f"{self._base(pipeline)}/data/"

    def job(self, pipeline: v1.TrainingPipeline) -> str:
        """As in `TrainingTask`; it is not listed among the custom jobs, as on Vertex AI."""
        return f"{pipeline.name}/jobs/{pipeline.name.rpartition('/')[2]}"

    def start(self, pipeline: v1.TrainingPipeline, exported: Exported | None) -> None:
        """As in `TrainingTask`."""
        job = self.job(pipeline)
        if exported is not None and not run_record(self._store, job):
            config = json.dumps(self._config(pipeline, exported)).encode()
            self._objects.write(f"{self._base(pipeline)}/program/{PROGRAM}", archive())
            self._objects.write(f"{self._base(pipeline)}/program/{CONFIG}", config)
        self._training.start(
            job, self._spec(pipeline), project_number=self._project_number, labels=dict(pipeline.labels)
        )

    def cancel(self, job: str) -> None:
        """As in `TrainingTask`."""
        self._training.cancel(job)

    def metadata(self, job: str) -> dict[str, Any]:
        """As in `TrainingTask`: what the training has cost so far (AutoMlTabularMetadata)."""
        run = run_record(self._store, job)
        seconds = (run.get("endTime") or 0) - (run.get("startTime") or 0)
        hours = max(0.0, seconds) / _SECONDS_AN_HOUR
        return {"trainCostMilliNodeHours": str(math.ceil(hours * 1000)), LABEL: True}

    def model(self, pipeline: v1.TrainingPipeline, exported: Exported | None) -> v1.Model | None:
        """As in `TrainingTask`: a model that any server of containers can serve."""
        uri = f"{self._base(pipeline)}/model"
        if not self._objects.below(uri):
            raise ValueError(f'There are no files under "{uri}" to copy.')
        model = v1.Model(pipeline.model_to_upload)
        model.artifact_uri = uri
        model.labels = {**model.labels, LABEL: "true"}
        model.container_spec = v1.ModelContainerSpec(
            image_uri=IMAGE,
            command=serving_command(),
            predict_route="/predict",
            health_route="/health",
            ports=[v1.Port(container_port=8080)],
        )
        return model

    def evaluation(self, pipeline: v1.TrainingPipeline) -> v1.ModelEvaluation | None:
        """As in `TrainingTask`: the metrics on the test set."""
        metrics = json.loads(self._objects.read(f"{self._base(pipeline)}/model/evaluation.json"))
        if not metrics:
            return None
        return v1.ModelEvaluation(
            display_name=f"{pipeline.display_name} (local AutoML)",
            metrics_schema_uri=f"{_EVALUATIONS}{self._kind.metrics_schema(_inputs(pipeline))}",
            metrics=metrics,
            metadata={LABEL: True},
        )

    def _base(self, pipeline: v1.TrainingPipeline) -> str:
        return f"gs://{self._bucket}/automl/{location_of(pipeline.name)}/{pipeline.name.rpartition('/')[2]}"

    def _spec(self, pipeline: v1.TrainingPipeline) -> dict:
        """The spec of the custom job that runs the engine."""
        base = self._base(pipeline)
        container = {
            "imageUri": IMAGE,
            "command": training_command(self._kind.module),
            "env": [{"name": "AUTOML_FOLDER", "value": f"{base}/program"}],
        }
        machine = {"machineType": "e2-standard-4"}  # there must be one; here it is this machine
        pool = {"replicaCount": "1", "machineSpec": machine, "containerSpec": container}
        return {"workerPoolSpecs": [pool], "baseOutputDirectory": {"outputUriPrefix": base}}

    def _config(self, pipeline: v1.TrainingPipeline, exported: Exported) -> dict[str, Any]:
        """What the program finds in `config.json`."""
        inputs = _inputs(pipeline)
        return {
            "data": exported.directory,
            "seconds": min(self._seconds, self._kind.hours(inputs) * _SECONDS_AN_HOUR),
            "models": self._models,
            **self._kind.config(inputs, pipeline.input_data_config),
        }


def _inputs(pipeline: v1.TrainingPipeline) -> dict[str, Any]:
    """The task's inputs without what is null."""
    plain = json_format.MessageToDict(v1.TrainingPipeline.pb(pipeline).training_task_inputs)
    return {key: value for key, value in (plain or {}).items() if value is not None}
