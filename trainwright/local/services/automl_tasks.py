"""AutoML tabular training on local Vertex: a real training by a local engine, and said to be one."""

import json
import math
from typing import Any

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
# AutoMlTablesInputs, and the limits of "AutoML tabular", documentation of 2026-08-22.
_OBJECTIVES = {
    "classification": (
        "maximize-au-roc",
        "minimize-log-loss",
        "maximize-au-prc",
        "maximize-precision-at-recall",
        "maximize-recall-at-precision",
    ),
    "regression": ("minimize-rmse", "minimize-mae", "minimize-rmsle"),
}
_KINDS = ("auto", "numeric", "categorical", "timestamp", "text")
_ARRAYS = ("repeatedNumeric", "repeatedCategorical", "repeatedText")
_LEAST_BUDGET, _MOST_BUDGET = 1_000, 72_000
_LEAST_COLUMNS, _MOST_COLUMNS = 2, 1_000
_SECONDS_AN_HOUR = 3600.0


class AutoMLTabularTask:
    """`automl_tabular_1.0.0.yaml`; methods as in `TrainingTask`.

    Args:
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
        *,
        store: Store,
        training: Training,
        objects: PlainObjects,
        project_number: str,
        bucket: str,
        seconds: float,
        models: int,
    ) -> None:
        self._store = store
        self._training = training
        self._objects = objects
        self._project_number = project_number
        self._bucket = bucket
        self._seconds = seconds
        self._models = models

    def check(self, pipeline: v1.TrainingPipeline, columns: list[str] | None) -> None:
        """As in `TrainingTask`."""
        if columns is None:
            raise ValueError("input_data_config.dataset_id: expected a tabular Dataset")
        if not 0 < len(pipeline.model_to_upload.display_name) <= 128:
            raise ValueError("model_to_upload.display_name: expected 1 to 128 characters")
        _checked(_inputs(pipeline), columns)
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
        kind = _inputs(pipeline)["predictionType"]
        return v1.ModelEvaluation(
            display_name=f"{pipeline.display_name} (local AutoML)",
            metrics_schema_uri=f"{_EVALUATIONS}{kind}_metrics_1.0.0.yaml",
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
            "command": training_command(),
            "env": [{"name": "AUTOML_FOLDER", "value": f"{base}/program"}],
        }
        pool = {"replicaCount": "1", "machineSpec": {}, "containerSpec": container}
        return {"workerPoolSpecs": [pool], "baseOutputDirectory": {"outputUriPrefix": base}}

    def _config(self, pipeline: v1.TrainingPipeline, exported: Exported) -> dict[str, Any]:
        """The engine's config, see `automl.train.Config`."""
        inputs, data = _inputs(pipeline), pipeline.input_data_config
        kind = inputs["predictionType"]
        hours = float(inputs["trainBudgetMilliNodeHours"]) / 1000
        return {
            "data": exported.directory,
            "target": inputs["targetColumn"],
            "kind": kind,
            "objective": _objective(inputs),
            "columns": _columns(inputs),
            "weight": inputs.get("weightColumnName", ""),
            "recall": float(inputs.get("optimizationObjectiveRecallValue", 0)),
            "precision": float(inputs.get("optimizationObjectivePrecisionValue", 0)),
            "has_folds": "predefined_split" not in data and "timestamp_split" not in data,
            "seconds": min(self._seconds, hours * _SECONDS_AN_HOUR),
            "models": self._models,
            "stops_early": not inputs.get("disableEarlyStopping"),
        }


def _inputs(pipeline: v1.TrainingPipeline) -> dict[str, Any]:
    """The task's inputs without what is null."""
    plain = json_format.MessageToDict(v1.TrainingPipeline.pb(pipeline).training_task_inputs)
    return {key: value for key, value in (plain or {}).items() if value is not None}


def _objective(inputs: dict[str, Any]) -> str:
    """The objective; of a classification "", when nothing is said: the number of classes then decides."""
    default = {"classification": "", "regression": "minimize-rmse"}
    return str(inputs.get("optimizationObjective") or default[inputs["predictionType"]])


def _columns(inputs: dict[str, Any]) -> dict[str, str]:
    """Kind of each feature column."""
    found = {}
    for transformation in inputs.get("transformations") or []:
        ((kind, options),) = transformation.items()
        found[options.get("columnName") or options.get("column_name") or ""] = kind
    return found


def _checked(inputs: dict[str, Any], columns: list[str]) -> None:
    where = "training_task_inputs"
    kind, target = inputs.get("predictionType"), inputs.get("targetColumn")
    if kind not in _OBJECTIVES:
        raise ValueError(f"{where}.predictionType {kind!r}: expected one of {', '.join(_OBJECTIVES)}")
    if _objective(inputs) not in ("", *_OBJECTIVES[kind]):
        known = ", ".join(_OBJECTIVES[kind])
        raise ValueError(
            f"{where}.optimizationObjective {_objective(inputs)!r}: for {kind} expected one of {known}"
        )
    for name, objective in (("Recall", "precision-at-recall"), ("Precision", "recall-at-precision")):
        value = inputs.get(f"optimizationObjective{name}Value", -1)
        if _objective(inputs) == f"maximize-{objective}" and not 0 <= float(value) <= 1:
            raise ValueError(f"{where}.optimizationObjective{name}Value: expected 0 to 1")
    budget = inputs.get("trainBudgetMilliNodeHours", 0)
    if not _LEAST_BUDGET <= float(budget) <= _MOST_BUDGET:
        raise ValueError(
            f"{where}.trainBudgetMilliNodeHours {float(budget):g}: expected {_LEAST_BUDGET} to {_MOST_BUDGET}"
        )
    if inputs.get("exportEvaluatedDataItemsConfig"):
        raise ValueError(
            f"{where}.exportEvaluatedDataItemsConfig: local Vertex exports no evaluated items to BigQuery"
        )
    _check_transformations(inputs, columns, where)
    if target not in columns:
        raise ValueError(_no_column(f"{where}.targetColumn", target, columns))
    weight = inputs.get("weightColumnName")
    if weight and weight not in columns:
        raise ValueError(_no_column(f"{where}.weightColumnName", weight, columns))


def _check_transformations(inputs: dict[str, Any], columns: list[str], where: str) -> None:
    for number, transformation in enumerate(inputs.get("transformations") or []):
        at = f"{where}.transformations[{number}]"
        if not isinstance(transformation, dict) or len(transformation) != 1:
            raise ValueError(f"{at}: expected one of {', '.join(_KINDS)} with a columnName")
        ((kind, options),) = transformation.items()
        if kind in _ARRAYS:
            raise ValueError(f"{at}: {kind} is for arrays, which a CSV file has none of")
        if kind not in _KINDS:
            raise ValueError(f"{at}: {kind!r}; expected one of {', '.join(_KINDS)}")
        name = options.get("columnName") or options.get("column_name")
        if name not in columns:
            raise ValueError(_no_column(f"{at}.{kind}.columnName", name, columns))
        if name == inputs.get("targetColumn"):
            raise ValueError(f"{at}.{kind}.columnName {name!r}: is the target column")
    count = len(_columns(inputs)) + 1
    if not _LEAST_COLUMNS <= count <= _MOST_COLUMNS:
        raise ValueError(
            f"{where}.transformations: {count} columns with the target; expected {_LEAST_COLUMNS} to"
            f" {_MOST_COLUMNS:,}"
        )


def _no_column(field: str, name: Any, columns: list[str]) -> str:
    return f"{field} {name!r}: no such column in the Dataset; there are: {', '.join(columns[:20])}"
