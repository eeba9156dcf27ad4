"""Batch predictions and models of the prebuilt images, by Google's unmodified SDK."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainwright.local.options import Options
from trainwright.local.server import LocalVertex

IMAGES = "us-docker.pkg.dev/vertex-ai/prediction"
SERVER = Path(__file__).with_name("model_server.py").read_text()

PROGRAM = """
import json, pathlib, sys, time
import joblib, numpy, xgboost
from google.api_core import exceptions
from google.cloud import aiplatform, storage
from google.cloud import aiplatform_v1 as v1
from sklearn.linear_model import LinearRegression

images, server, folder = sys.argv[1:]
aiplatform.init(project="any-project", location="us-central1")
bucket = storage.Client().bucket("trainwright-local")
jobs = v1.JobServiceClient(client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"})
shown = {}

def put(name, content):
    bucket.blob(name).upload_from_string(content)

def wait(job):
    deadline = time.monotonic() + 60
    while (found := jobs.get_batch_prediction_job(name=job.resource_name)).state.name in (
        "JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_CANCELLING"
    ):
        assert time.monotonic() < deadline, "never"
        time.sleep(0.05)
    return found

def output(job):
    prefix = job.output_info.gcs_output_directory.removeprefix("gs://trainwright-local/")
    blobs = bucket.list_blobs(prefix=prefix)
    texts = {blob.name.rpartition("/")[2]: blob.download_as_text() for blob in blobs}
    return {name: [json.loads(line) for line in text.splitlines()] for name, text in texts.items()}

def predict(model, source, **options):
    return aiplatform.BatchPredictionJob.submit(
        job_display_name="job",
        model_name=model,
        gcs_source=f"gs://trainwright-local/{source}",
        gcs_destination_prefix="gs://trainwright-local/out/",
        machine_type="n1-standard-2",
        **options,
    )

# What the prebuilt images serve.
rows = numpy.random.default_rng(0).random((40, 2))
labels = rows @ [1, 2]
path = pathlib.Path(folder)
xgboost.train({"max_depth": 3}, xgboost.DMatrix(rows, labels), 50).save_model(path / "model.ubj")
joblib.dump(LinearRegression().fit(rows, labels), path / "model.joblib")
bucket.blob("x/model.bst").upload_from_filename(path / "model.ubj")
bucket.blob("s/model.joblib").upload_from_filename(path / "model.joblib")
models = {
    kind: aiplatform.Model.upload(
        display_name=f"a {kind}",
        artifact_uri=f"gs://trainwright-local/{kind[0]}",
        serving_container_image_uri=f"{images}/{kind}-cpu.{version}:latest",
    )
    for kind, version in (("xgboost", "2-1"), ("sklearn", "1-6"))
}
put("in/a.jsonl", "".join(json.dumps(row) + "\\n" for row in rows.tolist()))
put("in/b.jsonl", '[1, 1]\\nno JSON\\n')
put("in.csv", '"a","b"\\n1,2\\n3,"x"\\n')
running = {kind: predict(model, "in/*.jsonl") for kind, model in models.items()}
csv = predict(models["sklearn"], "in.csv", instances_format="csv", batch_size=1)
ended = {kind: wait(job) for kind, job in running.items()}
results = {kind: output(job)["prediction.results-00000-of-00001"] for kind, job in ended.items()}
shown["worst"] = {
    kind: max(abs(row["prediction"] - sum(row["instance"] * numpy.array([1, 2]))) for row in found)
    for kind, found in results.items()
}
job = ended["xgboost"]
shown["job"] = {
    "states": [job.state.name for job in ended.values()],
    "directory": job.output_info.gcs_output_directory,
    "counts": [job.completion_stats.successful_count, job.completion_stats.failed_count],
    "errors": output(job)["prediction.errors_stats-00000-of-00001"],
    "csv": output(wait(csv)),
}

# A model of one's own: parameters, keys, cancellation, failure.
def upload(command):
    return aiplatform.Model.upload(
        display_name="own",
        serving_container_image_uri="python:3.11-slim",
        serving_container_command=["python3", "-c", command],
        serving_container_environment_variables={"WHO": "x"},
    )

put("keyed.jsonl", '{"id": 7, "n": 3}\\n')
own = upload(server.replace("told[\\"instances\\"]]", "[i[\\"n\\"] for i in told[\\"instances\\"]]]"))
request = {
    "display_name": "keyed",
    "model": own.resource_name,
    "model_parameters": {"factor": 5},
    "instance_config": {"key_field": "id", "instance_type": "object"},
    "input_config": {
        "instances_format": "jsonl", "gcs_source": {"uris": ["gs://trainwright-local/keyed.jsonl"]}
    },
    "output_config": {
        "predictions_format": "jsonl", "gcs_destination": {"output_uri_prefix": "gs://trainwright-local/out"}
    },
    "dedicated_resources": {"machine_spec": {"machine_type": "n1-standard-2"}, "starting_replica_count": 1},
}
parent = "projects/any-project/locations/us-central1"
keyed = aiplatform.BatchPredictionJob(
    jobs.create_batch_prediction_job(parent=parent, batch_prediction_job=request).name
)
slow = predict(upload("import time; time.sleep(60)"), "in.csv")
missing = predict(own, "nothing.jsonl")
slow.cancel()
shown["own"] = {
    "keyed": output(wait(keyed))["prediction.results-00000-of-00001"],
    "cancelled": wait(slow).state.name,
    "missing": [wait(missing).state.name, wait(missing).error.message],
}
refusals = {}
for name, changes in {
    "bigquery": {"input_config": {"instances_format": "bigquery", "bigquery_source": {"input_uri": "bq://a.b.c"}}},
    "format": {"input_config": {**request["input_config"], "instances_format": "avro"}},
    "model": {"model": own.resource_name + "9"},
}.items():
    try:
        jobs.create_batch_prediction_job(parent=parent, batch_prediction_job={**request, **changes})
    except exceptions.GoogleAPICallError as error:
        refusals[name] = error.code
shown["refusals"] = refusals
slow.delete()
succeeded = aiplatform.BatchPredictionJob.list(filter="state=JOB_STATE_SUCCEEDED")
left = {job.resource_name for job in succeeded}
shown["listed"] = [len(left), missing.resource_name in left]
print("=", json.dumps(shown))
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    # The versions that the images name would be installed; those that are here read the same files.
    images = {f"{IMAGES}/xgboost-cpu.2-1": "python", f"{IMAGES}/sklearn-cpu.1-6": "python"}
    folder = tmp_path_factory.mktemp("models")
    with LocalVertex(tmp_path_factory.mktemp("vertex"), options=Options(images=images)) as vertex:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, IMAGES, SERVER, str(folder)],
            env=os.environ | vertex.environment(),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("= "))
    return json.loads(line[2:])


def test_the_prebuilt_images_serve_their_frameworks(shown):
    assert shown["worst"]["sklearn"] < 1e-6
    assert shown["worst"]["xgboost"] < 0.5


def test_a_batch_writes_results_and_errors_as_vertex_does(shown):
    job = shown["job"]
    assert job["states"] == ["JOB_STATE_SUCCEEDED"] * 2
    assert job["directory"].startswith("gs://trainwright-local/out/prediction-a_xgboost-20")
    assert job["counts"] == [41, 1]
    assert [error["error"]["code"] for error in job["errors"]] == [3]
    rows = job["csv"]["prediction.results-00000-of-00001"]
    assert [row["instance"] for row in rows] == [[1.0, 2.0]]
    errors = job["csv"]["prediction.errors_stats-00000-of-00001"]
    assert [error["instance"] for error in errors] == [[3.0, "x"]]
    assert "answered 400" in errors[0]["error"]["message"]


def test_a_model_of_ones_own_gets_parameters_and_can_be_cancelled(shown):
    own = shown["own"]
    assert [(row["key"], row["prediction"]["product"]) for row in own["keyed"]] == [(7, 15)]
    assert own["cancelled"] == "JOB_STATE_CANCELLED"
    assert own["missing"][0] == "JOB_STATE_FAILED"
    assert "no file gs://trainwright-local/nothing.jsonl" in own["missing"][1]


def test_what_is_not_there_is_refused(shown):
    assert shown["refusals"] == {"bigquery": 501, "format": 400, "model": 404}
    assert shown["listed"] == [4, False]
