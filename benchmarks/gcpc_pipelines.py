"""One pipeline for each op of Google Cloud Pipeline Components that can run here: what it needs, then the op.

`PIPELINES` has the body of each by the op's name; the ops that it lacks are refused. The data are small and
real: a table of 1,200 rows, images of 16 x 16 pixels, a model server of the standard library.
"""

import io
import json
from collections.abc import Callable
from typing import Any

from google_cloud_pipeline_components.types import artifact_types
from google_cloud_pipeline_components.v1 import (
    batch_predict_job,
    bigquery,
    custom_job,
    dataset,
    endpoint,
    forecasting,
    hyperparameter_tuning_job,
    model,
    vertex_notification_email,
)
from google_cloud_pipeline_components.v1.automl import training_job
from kfp import dsl

from trainwright.local.server import BUCKET, LOCATION, PROJECT_ID

GCS = f"gs://{BUCKET}"
_IMAGE = "python:3.11-slim"
_LABELS = (
    "gs://google-cloud-aiplatform/schema/dataset/ioformat/"
    "image_classification_single_label_io_format_1.0.0.yaml"
)

_SERVER = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(b"")

    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(json.dumps({"predictions": [2 * number for number in told["instances"]]}).encode())

ThreadingHTTPServer(("0.0.0.0", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()
"""
_TRIAL = """
import hypertune
hypertune.HyperTune().report_hyperparameter_tuning_metric("loss", 0.5)
"""


def upload_data() -> None:
    """Puts what the pipelines read into local Vertex's bucket."""
    from google.cloud import storage

    bucket = storage.Client(project=PROJECT_ID).bucket(BUCKET)
    rows = [f"{number},{number % 7},{'yes' if number % 7 > 3 else 'no'}" for number in range(1200)]
    bucket.blob("data/table.csv").upload_from_string("\n".join(["id,size,label", *rows]) + "\n")
    bucket.blob("data/in.jsonl").upload_from_string("1\n2\n")
    bucket.blob("data/model/weights").upload_from_string("w")
    lines = []
    for number in range(24):
        bucket.blob(f"data/{number}.png").upload_from_string(_png(number if number % 2 else 255 - number))
        lines.append(
            json.dumps(
                {
                    "imageGcsUri": f"{GCS}/data/{number}.png",
                    "classificationAnnotation": {"displayName": "even" if number % 2 == 0 else "odd"},
                }
            )
        )
    bucket.blob("data/images.jsonl").upload_from_string("\n".join(lines) + "\n")


def _png(brightness: int) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("L", (16, 16), brightness).save(stream, "PNG")
    return stream.getvalue()


def _automl_images() -> None:
    training_job.AutoMLImageTrainingJobRunOp(
        project=PROJECT_ID,
        location=LOCATION,
        display_name="a",
        prediction_type="classification",
        dataset=_image_import().outputs["dataset"],
        budget_milli_node_hours=8000,
        model_display_name="even-or-odd",
    )


def _pool(code: str) -> list[dict[str, Any]]:
    container = {"image_uri": _IMAGE, "command": ["python3", "-c", code]}
    machine = {"machine_type": "n1-standard-4"}
    return [{"machine_spec": machine, "replica_count": 1, "container_spec": container}]


def _uploaded() -> Any:
    unmanaged = dsl.importer(
        artifact_uri=f"{GCS}/data/model",
        artifact_class=artifact_types.UnmanagedContainerModel,
        metadata={"containerSpec": {"imageUri": _IMAGE, "command": ["python3", "-c", _SERVER]}},
    ).output
    return model.ModelUploadOp(display_name="m", unmanaged_container_model=unmanaged).outputs["model"]


def _endpoint() -> Any:
    return endpoint.EndpointCreateOp(display_name="e").outputs["endpoint"]


def _deployed(uploaded: Any, created: Any) -> Any:
    return endpoint.ModelDeployOp(
        model=uploaded,
        endpoint=created,
        dedicated_resources_machine_type="n1-standard-2",
        dedicated_resources_min_replica_count=1,
        traffic_split={"0": 100},
    )


def _table() -> Any:
    return dataset.TabularDatasetCreateOp(display_name="t", gcs_source=f"{GCS}/data/table.csv").outputs[
        "dataset"
    ]


def _images() -> Any:
    return dataset.ImageDatasetCreateOp(display_name="i").outputs["dataset"]


def _image_import() -> Any:
    return dataset.ImageDatasetImportDataOp(
        dataset=_images(), gcs_source=f"{GCS}/data/images.jsonl", import_schema_uri=_LABELS
    )


def _model_get() -> None:
    uploaded = model.ModelUploadOp(
        display_name="got",
        unmanaged_container_model=dsl.importer(
            artifact_uri=f"{GCS}/data/model",
            artifact_class=artifact_types.UnmanagedContainerModel,
            metadata={"containerSpec": {"imageUri": _IMAGE}},
        ).output,
        location=LOCATION,
    )
    name = _resource_id(model=uploaded.outputs["model"]).output
    model.ModelGetOp(model_name=name)


@dsl.component(base_image=_IMAGE)
def _resource_id(model: dsl.Input[artifact_types.VertexModel]) -> str:
    return model.metadata["resourceName"].rpartition("/")[2].partition("@")[0]


def _notification() -> None:
    notify = vertex_notification_email.VertexNotificationEmailOp(recipients=["ml@acme.example"])
    with dsl.ExitHandler(notify):
        _rows()


@dsl.component(base_image=_IMAGE)
def _rows() -> int:
    return 1200


def _exported(made: Any, op: Any) -> None:
    op(dataset=made, output_dir=f"{GCS}/exported")


def _deploy() -> None:
    _deployed(_uploaded(), _endpoint())


def _undeploy() -> None:
    uploaded, created = _uploaded(), _endpoint()
    endpoint.ModelUndeployOp(model=uploaded, endpoint=created).after(_deployed(uploaded, created))


def _batch_predict() -> None:
    batch_predict_job.ModelBatchPredictOp(
        job_display_name="b",
        model=_uploaded(),
        gcs_source_uris=[f"{GCS}/data/in.jsonl"],
        gcs_destination_output_uri_prefix=f"{GCS}/predicted",
        machine_type="n1-standard-2",
    )


def _tuning() -> None:
    hyperparameter_tuning_job.HyperparameterTuningJobRunOp(
        display_name="h",
        base_output_directory=f"{GCS}/tuned",
        worker_pool_specs=_pool(_TRIAL),
        study_spec_metrics=hyperparameter_tuning_job.serialize_metrics({"loss": "minimize"}),
        study_spec_parameters=hyperparameter_tuning_job.serialize_parameters(
            {"x": _double(0.0, 1.0)},
        ),
        max_trial_count=2,
        parallel_trial_count=2,
    )


def _double(low: float, high: float) -> Any:
    from google.cloud.aiplatform import hyperparameter_tuning

    return hyperparameter_tuning.DoubleParameterSpec(min=low, max=high, scale="linear")


def _automl_tabular() -> None:
    training_job.AutoMLTabularTrainingJobRunOp(
        project=PROJECT_ID,
        display_name="a",
        dataset=_table(),
        optimization_prediction_type="classification",
        target_column="label",
        column_transformations=[{"numeric": {"column_name": "size"}}],
        budget_milli_node_hours=1000,
    )


def _time_series() -> Any:
    source = f"{GCS}/data/table.csv"
    return dataset.TimeSeriesDatasetCreateOp(display_name="s", gcs_source=source).outputs["dataset"]


def _prepared_for_forecasting() -> None:
    forecasting.ForecastingPrepareDataForTrainOp(
        input_tables=[
            {
                "table_type": "FORECASTING_PRIMARY",
                "forecasting_primary_table_metadata": {
                    "time_column": "day",
                    "target_column": "size",
                    "time_series_identifier_columns": ["id"],
                    "unavailable_at_forecast_columns": [],
                    "time_granularity": {"unit": "DAY", "quantity": 1},
                    "predefined_splits_column": "",
                    "weight_column": "",
                },
            }
        ],
        preprocess_metadata={"processed_bigquery_table_uri": "bq://p.d.t", "column_metadata": {}},
    )


PIPELINES: dict[str, Callable[[], Any]] = {
    "AutoMLImageTrainingJobRunOp": _automl_images,
    "AutoMLTabularTrainingJobRunOp": _automl_tabular,
    "BigqueryQueryJobOp": lambda: bigquery.BigqueryQueryJobOp(query="SELECT 1 AS one"),
    "CustomTrainingJobOp": lambda: custom_job.CustomTrainingJobOp(
        display_name="c", worker_pool_specs=_pool("print('trained')"), base_output_directory=f"{GCS}/custom"
    ),
    "EndpointCreateOp": _endpoint,
    "EndpointDeleteOp": lambda: endpoint.EndpointDeleteOp(endpoint=_endpoint()),
    "ForecastingPrepareDataForTrainOp": _prepared_for_forecasting,
    "GetVertexDatasetOp": lambda: dataset.GetVertexDatasetOp(
        dataset_resource_name=f"projects/{PROJECT_ID}/locations/{LOCATION}/datasets/1"
    ),
    "HyperparameterTuningJobRunOp": _tuning,
    "ImageDatasetCreateOp": _images,
    "ImageDatasetExportDataOp": lambda: _exported(
        _image_import().outputs["dataset"], dataset.ImageDatasetExportDataOp
    ),
    "ImageDatasetImportDataOp": _image_import,
    "ModelBatchPredictOp": _batch_predict,
    "ModelDeleteOp": lambda: model.ModelDeleteOp(model=_uploaded()),
    "ModelDeployOp": _deploy,
    "ModelExportOp": lambda: model.ModelExportOp(
        model=_uploaded(), artifact_destination=f"{GCS}/model", export_format_id="custom-trained"
    ),
    "ModelGetOp": _model_get,
    "ModelUndeployOp": _undeploy,
    "ModelUploadOp": _uploaded,
    "TabularDatasetCreateOp": _table,
    "TabularDatasetExportDataOp": lambda: _exported(_table(), dataset.TabularDatasetExportDataOp),
    "TimeSeriesDatasetCreateOp": _time_series,
    "TimeSeriesDatasetExportDataOp": lambda: _exported(_time_series(), dataset.TimeSeriesDatasetExportDataOp),
    "VertexNotificationEmailOp": _notification,
}
