"""The official Google Cloud Pipeline Components ops around a model's serving, from one compiled pipeline."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from google_cloud_pipeline_components.preview.model_evaluation.model_evaluation_import_component import (
    model_evaluation_import,
)
from google_cloud_pipeline_components.types import artifact_types
from google_cloud_pipeline_components.v1.batch_predict_job import ModelBatchPredictOp
from google_cloud_pipeline_components.v1.endpoint import (
    EndpointCreateOp,
    EndpointDeleteOp,
    ModelDeployOp,
    ModelUndeployOp,
)
from google_cloud_pipeline_components.v1.model import ModelDeleteOp, ModelExportOp, ModelUploadOp
from kfp import compiler, dsl

from trainwright.local.server import LocalVertex

SERVER = Path(__file__).with_name("model_server.py").read_text()
CONTAINER = {
    "imageUri": "python:3.11-slim",
    "command": ["python3", "-c", SERVER],
    "env": [{"name": "WHO", "value": "x"}],
}
METRICS = {"slicedMetrics": [{"singleOutputSlicingSpec": {}, "metrics": {"regression": {"rSquared": 0.5}}}]}
WRITE = "import os, sys; os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True); open(sys.argv[1], 'w').write(sys.argv[2])"  # noqa: E501
GCS = "gs://trainwright-local"

SUBMIT = """
import json, sys
from google.cloud import aiplatform, storage
from google.cloud import aiplatform_v1 as v1
bucket = storage.Client().bucket("trainwright-local")
bucket.blob("in.jsonl").upload_from_string("1\\n2\\n")
bucket.blob("model/weights").upload_from_string("w")
job = aiplatform.PipelineJob(
    display_name="serving", template_path=sys.argv[1], pipeline_root="gs://trainwright-local/root",
    project="any-project", location="us-central1", enable_caching=False,
)
job.submit()
job.wait()
tasks = {task.task_name: v1.PipelineTaskDetail.to_dict(task) for task in job.task_details}
files = {blob.name: blob.download_as_text() for blob in bucket.list_blobs(prefix="out/")}
print("=", json.dumps([tasks, sorted(blob.name for blob in bucket.list_blobs()), files]))
"""


@dsl.container_component
def write_metrics(metrics: dsl.Output[dsl.Metrics]):
    return dsl.ContainerSpec(
        "python:3.11-slim", ["python3", "-c", WRITE], [metrics.path, json.dumps(METRICS)]
    )


@dsl.pipeline(name="serving")
def serving():
    unmanaged = dsl.importer(
        artifact_uri=f"{GCS}/model",
        artifact_class=artifact_types.UnmanagedContainerModel,
        metadata={"containerSpec": CONTAINER},
    ).output
    model = ModelUploadOp(
        display_name="m", unmanaged_container_model=unmanaged, location="us-central1"
    ).outputs["model"]
    endpoint = EndpointCreateOp(display_name="e", location="us-central1").outputs["endpoint"]
    deployed = ModelDeployOp(
        model=model,
        endpoint=endpoint,
        dedicated_resources_machine_type="n1-standard-2",
        dedicated_resources_min_replica_count=1,
        traffic_split={"0": 100},
    )
    batches = [
        ModelBatchPredictOp(
            job_display_name="b",
            location="us-central1",
            gcs_source_uris=[f"{GCS}/in.jsonl"],
            gcs_destination_output_uri_prefix=f"{GCS}/out",
            machine_type="n1-standard-2",
            **source,
        )
        for source in ({"model": model}, {"unmanaged_container_model": unmanaged})
    ]
    exported = ModelExportOp(
        model=model, artifact_destination=f"{GCS}/exported", export_format_id="custom-trained"
    )
    evaluated = model_evaluation_import(
        model=model, metrics=write_metrics().outputs["metrics"], problem_type="regression"
    )
    undeployed = ModelUndeployOp(model=model, endpoint=endpoint).after(deployed)
    deleted = EndpointDeleteOp(endpoint=endpoint).after(undeployed)
    ModelDeleteOp(model=model).after(deleted, exported, evaluated, *batches)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Task details by task, the objects that are there in the end, and the batch predictions."""
    template = tmp_path_factory.mktemp("pipeline") / "serving.yaml"
    compiler.Compiler().compile(serving, str(template))
    with LocalVertex(tmp_path_factory.mktemp("vertex")) as vertex:
        done = subprocess.run(
            [sys.executable, "-c", SUBMIT, str(template)],
            env=os.environ | vertex.environment(),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("= "))
    return json.loads(line[2:])


@pytest.mark.parametrize(
    ("task", "resource_type", "part"),
    [
        ("model-upload", "VertexLro", "/models/"),
        ("endpoint-create", "VertexLro", "/endpoints/"),
        ("model-deploy", "VertexLro", "/endpoints/"),
        ("model-undeploy", "VertexLro", "/endpoints/"),
        ("endpoint-delete", "VertexLro", "/endpoints/"),
        ("model-export", "VertexLro", "/models/"),
        ("model-delete", "VertexLro", "/models/"),
        ("model-batch-predict", "BatchPredictionJob", "/batchPredictionJobs/"),
        ("model-batch-predict-2", "BatchPredictionJob", "/batchPredictionJobs/"),
        ("model-evaluation-import", "ModelEvaluation", "@1/evaluations/"),
    ],
)
def test_each_op_succeeds_and_notes_what_it_made(result, task, resource_type, part):
    detail = result[0][task]
    assert detail["state"] == 3  # SUCCEEDED
    (resource,) = json.loads(detail["execution"]["metadata"]["output:gcp_resources"])["resources"]
    assert resource["resourceType"] == resource_type
    assert resource["resourceUri"].startswith("https://us-central1-aiplatform.googleapis.com/v1/projects/1")
    assert part in resource["resourceUri"]


def test_outputs_are_those_of_the_ops(result):
    tasks, objects, predicted = result
    uploaded = tasks["model-upload"]["outputs"]["model"]["artifacts"][0]
    assert uploaded["metadata"]["resourceName"].endswith("@1")
    assert uploaded["schema_title"] == "google.VertexModel"
    directory = tasks["model-batch-predict"]["outputs"]["gcs_output_directory"]["artifacts"][0]["uri"]
    name = directory.removeprefix(f"{GCS}/") + "/prediction.results-00000-of-00001"
    rows = [json.loads(line) for line in predicted[name].splitlines()]
    assert [(row["instance"], row["prediction"]["product"]) for row in rows] == [(1, 2), (2, 4)]
    exported = tasks["model-export"]["execution"]["metadata"]["output:output_info"]
    assert f"{exported['artifactOutputUri'].removeprefix(GCS + '/')}/weights" in objects
    assert "/evaluations/" in str(tasks["model-evaluation-import"]["execution"]["metadata"])
