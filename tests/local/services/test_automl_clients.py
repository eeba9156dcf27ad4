"""Datasets and AutoML as Google's unmodified SDK and pipeline components ask for them: real trainings."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from google.cloud import aiplatform_v1 as v1
from google_cloud_pipeline_components.v1.automl.training_job import (
    AutoMLImageTrainingJobRunOp,
    AutoMLTabularTrainingJobRunOp,
)
from google_cloud_pipeline_components.v1.dataset import (
    ImageDatasetCreateOp,
    ImageDatasetExportDataOp,
    ImageDatasetImportDataOp,
    TabularDatasetCreateOp,
    TabularDatasetExportDataOp,
    TimeSeriesDatasetCreateOp,
    TimeSeriesDatasetExportDataOp,
)
from kfp import compiler, dsl
from PIL import Image
from sklearn.datasets import load_digits

from examples.data import example_tables
from trainwright.local.options import Options
from trainwright.local.server import LocalVertex
from trainwright.local.store import Store
from trainwright.local.training.automl.serve import loaded
from trainwright.local.training.automl_program import serving_command

BUCKET = "gs://trainwright-local"
TABLE = f"{BUCKET}/churn.csv"
TABULAR, IMAGES = "automl-tabular-training-job", "automl-image-training-job"
SCHEMA = (
    "gs://google-cloud-aiplatform/schema/dataset/ioformat/"
    "image_classification_single_label_io_format_1.0.0.yaml"
)

PROGRAM = """
import json, sys
from google.api_core import exceptions
from google.cloud import aiplatform

def show(**values):
    print("= " + json.dumps(values))

TABLE, template = sys.argv[1:]
aiplatform.init(project="any-project", location="us-central1", staging_bucket="gs://trainwright-local/s")
run = aiplatform.PipelineJob(
    display_name="automl", template_path=template, pipeline_root="gs://trainwright-local/o",
    parameter_values={"table": TABLE},
)
run.submit()
dataset = aiplatform.TabularDataset.create(display_name="churn", gcs_source=TABLE)
job = aiplatform.AutoMLTabularTrainingJob(
    display_name="charges", optimization_prediction_type="regression",
    column_transformations=[
        {"auto": {"column_name": "tenure"}}, {"categorical": {"column_name": "contract"}}
    ],
)
model = job.run(
    dataset=dataset, target_column="monthly_charges", model_display_name="charges",
    model_labels={"a": "b"}, sync=False,
)
text = aiplatform.AutoMLTabularTrainingJob(
    display_name="x", optimization_prediction_type="regression",
    column_transformations=[{"auto": {"column_name": "tenure"}}],
)
text.run(dataset=dataset, target_column="contract", sync=False)
refused = []
for options in (
    {"target_column": "churned"},
    {"target_column": "churn", "budget_milli_node_hours": 999},
    {"target_column": "churn", "weight_column": "weight"},
    {"target_column": "tenure"},
):
    bad = aiplatform.AutoMLTabularTrainingJob(
        display_name="x", optimization_prediction_type="classification",
        column_transformations=[{"auto": {"column_name": "tenure"}}],
    )
    try:
        bad.run(dataset=dataset, **options)
    except exceptions.InvalidArgument as error:
        refused.append(error.message)
model.wait()
try:
    text.wait()
except RuntimeError:
    refused.append(text.gca_resource.error.message)
run.wait()
outputs = {
    task.task_name: artifacts.artifacts[0].metadata["resourceName"]
    for task in run.task_details for artifacts in task.outputs.values()
    if artifacts.artifacts and "resourceName" in artifacts.artifacts[0].metadata
}
labels = aiplatform.TabularDataset.list(filter='labels.vertex-ai-pipelines-run-billing-id:*')
uris = {name: aiplatform.Model(value).uri for name, value in outputs.items() if "/models/" in value}
show(
    labels=dict(model.labels), uri=model.uri, name=model.versioned_resource_name,
    trained=model.gca_resource.training_pipeline == job.resource_name,
    refused=refused, outputs=outputs, uris=uris,
    states={task.state.name for task in run.task_details} == {"SUCCEEDED"}, labelled=len(labels),
    images=[each.gca_resource.data_item_count for each in aiplatform.ImageDataset.list()],
    names=sorted(each.display_name for each in aiplatform.Model.list()),
)
"""


@dsl.pipeline(name="automl")
def automl(table: str):
    dataset = TabularDatasetCreateOp(display_name="churn", gcs_source=table)
    AutoMLTabularTrainingJobRunOp(
        display_name="churn",
        project="any-project",
        target_column="churn",
        dataset=dataset.outputs["dataset"],
        optimization_prediction_type="classification",
        optimization_objective="minimize-log-loss",
        budget_milli_node_hours=1000,
        column_transformations=[
            {kind: {"column_name": name}}
            for kind, name in (("numeric", "tenure"), ("auto", "contract"), ("auto", "monthly_charges"))
        ],
        training_fraction_split=0.8,
        validation_fraction_split=0.1,
        test_fraction_split=0.1,
    )
    TabularDatasetExportDataOp(dataset=dataset.outputs["dataset"], output_dir=f"{BUCKET}/out/table")
    series = TimeSeriesDatasetCreateOp(display_name="series", gcs_source=table)
    TimeSeriesDatasetExportDataOp(dataset=series.outputs["dataset"], output_dir=f"{BUCKET}/out/series")
    created = ImageDatasetCreateOp(
        display_name="digits", gcs_source=f"{BUCKET}/digits-0.csv", import_schema_uri=SCHEMA
    )
    images = ImageDatasetImportDataOp(
        dataset=created.outputs["dataset"], gcs_source=f"{BUCKET}/digits-1.csv", import_schema_uri=SCHEMA
    )
    ImageDatasetExportDataOp(dataset=images.outputs["dataset"], output_dir=f"{BUCKET}/out/images")
    AutoMLImageTrainingJobRunOp(
        display_name="digits",
        project="any-project",
        dataset=images.outputs["dataset"],
        budget_milli_node_hours=8000,
    )


def put_digits(bucket):
    """Real handwritten digits, 8 x 8, as PNG files and two import files."""
    (bucket / "digits").mkdir()
    digits, lines = load_digits(), []
    for number in range(300):
        image = Image.fromarray((digits.images[number] * 15.9).astype("uint8"))
        image.save(bucket / "digits" / f"{number}.png")
        lines.append(f"{BUCKET}/digits/{number}.png,{digits.target[number]}")
    for half in range(2):
        (bucket / f"digits-{half}.csv").write_text("\n".join(lines[half::2]))


@pytest.fixture(scope="module")
def vertex(tmp_path_factory):
    state = tmp_path_factory.mktemp("vertex") / "state"
    with LocalVertex(state, options=Options(automl_models=1)) as vertex:
        bucket = state / "storage" / "trainwright-local"
        example_tables("churn")["churn"].to_pandas().to_csv(bucket / "churn.csv", index=False)
        put_digits(bucket)
        yield vertex


@pytest.fixture(scope="module")
def environment(vertex):
    base = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return base | {"PYTHONDONTWRITEBYTECODE": ""} | vertex.environment()


@pytest.fixture(scope="module")
def shown(vertex, environment, tmp_path_factory):
    template = tmp_path_factory.mktemp("template") / "automl.yaml"
    compiler.Compiler().compile(automl, str(template))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, TABLE, str(template)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(next(line[2:] for line in done.stdout.splitlines() if line.startswith("= ")))


def test_a_model_is_trained_labelled_and_evaluated(shown, vertex):
    assert shown["labels"] == {"a": "b", "trainwright-local-automl": "true"}
    assert shown["trained"] and shown["names"] == ["charges", "churn", "digits"]
    store = Store(vertex.state / "store.sqlite")
    found = {
        record.name: v1.ModelEvaluation.deserialize(record.payload)
        for record in store.list("modelEvaluation")
    }
    store.close()
    charges = next(each for name, each in found.items() if name.startswith(shown["name"]))
    assert charges.metrics_schema_uri.endswith("regression_metrics_1.0.0.yaml")
    assert 0 < charges.metrics["meanAbsoluteError"] < charges.metrics["rootMeanSquaredError"] < 31
    churn = next(each for name, each in found.items() if name.startswith(shown["outputs"][TABULAR]))
    assert churn.metrics_schema_uri.endswith("classification_metrics_1.0.0.yaml")
    assert 0.85 < churn.metrics["auRoc"] < 0.95 and 0.35 < churn.metrics["logLoss"] < 0.5
    matrix = churn.metrics["confusionMatrix"]
    assert [spec["displayName"] for spec in matrix["annotationSpecs"]] == ["No", "Yes"]
    assert 600 < sum(sum(row) for row in matrix["rows"]) < 800
    digits = next(each for name, each in found.items() if name.startswith(shown["outputs"][IMAGES]))
    rows = digits.metrics["confusionMatrix"]["rows"]
    assert sum(row[number] for number, row in enumerate(rows)) > 0.8 * sum(map(sum, rows)) > 15


def test_the_ops_of_datasets_do_what_they_say(shown, vertex):
    assert shown["states"] and shown["labelled"] == 1 and shown["images"] == [300]
    bucket = vertex.state / "storage" / "trainwright-local"
    for kind in ("table", "series"):
        (file,) = (bucket / "out" / kind).rglob("*.csv")
        assert file.read_text() == (bucket / "churn.csv").read_text()
    (file,) = (bucket / "out" / "images").rglob("*.jsonl")
    lines = [json.loads(line) for line in file.open()]
    assert len(lines) == 300 and lines[0]["classificationAnnotation"]["displayName"] == "0"


def test_what_cannot_be_trained_is_said_in_a_line(shown):
    target, budget, weight, classes, text = shown["refused"]
    assert "targetColumn 'churned': no such column" in target
    assert "trainBudgetMilliNodeHours 999: expected 1000 to 72000" in budget
    assert "weightColumnName 'weight': no such column" in weight
    assert "'tenure': is the target column" in classes
    assert "target column 'contract': row 1 of the training set is" in text and "expected a number" in text


def test_the_models_serve_what_they_predict(shown, vertex, environment):
    storage = vertex.state / "storage"
    tabular = [{"tenure": 5, "contract": "Two year"}, {"tenure": "", "contract": "never seen"}, {}]
    answer = served(shown["uri"], tabular, environment)
    assert answer == loaded(storage / shown["uri"].removeprefix("gs://")).predictions(tabular)
    assert all(each["lower_bound"] < each["value"] < each["upper_bound"] for each in answer)
    image = (storage / "trainwright-local" / "digits" / "0.png").read_bytes()
    answer = served(shown["uris"][IMAGES], [{"content": base64.b64encode(image).decode()}], environment)
    assert answer[0]["displayNames"][0] == "0" and sum(answer[0]["confidences"]) == pytest.approx(1)


def served(uri, instances, environment):
    """What the model's own container answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, *serving_command()[4:]]
    given = {"AIP_STORAGE_URI": uri, "AIP_HTTP_PORT": str(port)}
    server = subprocess.Popen(command, env=environment | given, stderr=subprocess.PIPE)
    try:
        body = json.dumps({"instances": instances}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body)
        deadline = time.monotonic() + 60
        while True:
            try:
                return json.loads(urllib.request.urlopen(request, timeout=10).read())["predictions"]
            except OSError:
                assert time.monotonic() < deadline and server.poll() is None, server.stderr.read()
                time.sleep(0.05)
    finally:
        server.kill()
        server.wait()
