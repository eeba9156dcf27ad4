"""Custom training as Google's unmodified SDK asks for it: data exported, job run, model registered."""

import json
import os
import subprocess
import sys

import pytest

from trainwright.local.server import LocalVertex

# A trainer: counts what it was given, and leaves that as its model.
TRAINER = """
import glob, json, os, pathlib, sys
path = lambda uri: uri.replace("gs:/", os.environ["ROOT"])
seen = {"format": os.environ.get("AIP_DATA_FORMAT"), "arguments": sys.argv[1:]}
for name in ("TRAINING", "VALIDATION", "TEST"):
    if uri := os.environ.get(f"AIP_{name}_DATA_URI"):
        seen[name] = sum(len(open(file).readlines()) - 1 for file in glob.glob(path(uri)))
if "--fail" in sys.argv:
    raise SystemExit("no luck")
if "--nothing" not in sys.argv:
    folder = pathlib.Path(path(os.environ["AIP_MODEL_DIR"]))
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps(seen))
"""

PROGRAM = """
import json, sys, time
from google.api_core import exceptions
from google.cloud import aiplatform, storage

def show(**values):
    print("= " + json.dumps(values))

BUCKET = "gs://trainwright-local"
TRAINER, SCRIPT, ROOT = sys.argv[1:]
more = {"environment_variables": {"ROOT": ROOT}}
aiplatform.init(project="any-project", location="us-central1", staging_bucket=f"{BUCKET}/staging")
client = storage.Client(project="any-project")
bucket = client.bucket("trainwright-local")
rows = "".join(f"{n},{'training' if n % 4 else 'test'}\\n" for n in range(100))
bucket.blob("t.csv").upload_from_string("id,set\\n" + rows)
dataset = aiplatform.TabularDataset.create(display_name="t", gcs_source=f"{BUCKET}/t.csv")
IMAGE = "python:3.11-slim"
serving = {"model_serving_container_image_uri": IMAGE}

def left(model):
    blob = storage.Blob.from_string(model.uri + "/model.json", client=client)
    return json.loads(blob.download_as_text())

def ended(job):
    # `run` looks every 5 s
    deadline = time.monotonic() + 60
    while not job.state.name.endswith(("SUCCEEDED", "FAILED", "CANCELLED")):
        assert time.monotonic() < deadline, job.state
        time.sleep(0.1)
    return job.state.name

# A script, packed and staged by the SDK, on a split Dataset.
job = aiplatform.CustomTrainingJob(
    display_name="script", script_path=SCRIPT, container_uri=IMAGE, **serving
)
model = job.run(
    dataset=dataset, predefined_split_column_name="set", model_display_name="m", args=["--x"], **more
)
backing = aiplatform.CustomJob.get(job.gca_resource.training_task_metadata["backingCustomJob"])
show(
    left=left(model),
    backing=[backing.display_name, backing.state.name],
    trained=model.gca_resource.training_pipeline == job.resource_name,
    version=model.version_id,
)

# A container, as a new version of the same model.
container = aiplatform.CustomContainerTrainingJob(
    display_name="container", container_uri=IMAGE, command=["python3", "-c", TRAINER], **serving
)
container.submit(
    dataset=dataset, model_display_name="m", parent_model=model.resource_name, is_default_version=False,
    model_version_aliases=["blue"], training_fraction_split=0.5, validation_fraction_split=0.5,
    test_fraction_split=0.0, **more
)
ended(container)
second = container.get_model()
seen = left(second)
found = aiplatform.CustomContainerTrainingJob.list(filter='display_name="container"')
show(
    rows=[seen["TRAINING"] + seen["VALIDATION"], seen["TEST"]],
    same=second.resource_name == model.resource_name,
    version=[second.version_id, sorted(second.version_aliases)],
    default=aiplatform.Model(model.resource_name).version_id,
    found=[each.resource_name == container.resource_name for each in found],
)

# What fails, and what is refused.
failures = []
def attempt(args=None, command=None, **options):
    job = aiplatform.CustomContainerTrainingJob(
        display_name="x", container_uri=IMAGE, command=command or ["python3", "-c", TRAINER], **serving
    )
    try:
        job.submit(model_display_name="x", args=args, **more, **options)
        ended(job)
        job.get_model()
    except (RuntimeError, exceptions.GoogleAPICallError) as error:
        state, said = "", str(error)
        if job._has_run:
            state, said = job.state.name, job.gca_resource.error.message
        failures.append([state, said])
    return job
attempt(["--fail"])
attempt(["--nothing"])
failed = attempt(command=["python3", "-c", "import time; time.sleep(60)"], timeout=1)
attempt(dataset=dataset, predefined_split_column_name="sett")
attempt(parent_model="none-such")
slow = aiplatform.CustomContainerTrainingJob(
    display_name="slow", container_uri=IMAGE, command=["python3", "-c", "import time; time.sleep(600)"]
)
slow.submit()
slow.cancel()
assert ended(slow) == "PIPELINE_STATE_CANCELLED"
failed.delete()
gone = [each.resource_name for each in aiplatform.CustomContainerTrainingJob.list()]
pipelines = aiplatform.gapic.PipelineServiceClient(
    client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"}
)
for name in ("automl_text_classification_1.0.0.yaml", "hyperparameter_tuning_task_1.0.0.yaml"):
    definition = aiplatform.schema.training_job.definition.custom_task.rpartition("/")[0] + "/" + name
    try:
        pipelines.create_training_pipeline(
            parent="projects/p/locations/us-central1",
            training_pipeline={
                "display_name": "x", "training_task_definition": definition, "training_task_inputs": {}
            },
        )
    except exceptions.GoogleAPICallError as error:
        failures.append([type(error).__name__, error.message])
show(failures=failures, models=len(aiplatform.Model.list()), gone=failed.resource_name not in gone)
"""


@pytest.fixture(scope="module")
def vertex(tmp_path_factory):
    with LocalVertex(tmp_path_factory.mktemp("vertex") / "state") as vertex:
        yield vertex


def test_the_sdk_trains_with_its_own_code(vertex, tmp_path):
    script = tmp_path / "task.py"
    script.write_text(TRAINER)
    base = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, TRAINER, str(script), str(vertex.state / "storage")],
        env=base | {"PYTHONDONTWRITEBYTECODE": ""} | vertex.environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second, rest = [json.loads(line[2:]) for line in done.stdout.splitlines() if line.startswith("= ")]
    assert first == {
        "left": {"format": "csv", "arguments": ["--x"], "TRAINING": 75, "VALIDATION": 0, "TEST": 25},
        "backing": ["script-custom-job", "JOB_STATE_SUCCEEDED"],
        "trained": True,
        "version": "1",
    }
    assert second == {
        "rows": [100, 0],
        "same": True,
        "version": ["2", ["blue"]],
        "default": "1",
        "found": [True],
    }
    failed, nothing, timeout, split, parent, text, tuning = rest["failures"]
    assert failed[0] == "PIPELINE_STATE_FAILED" and "no luck" in failed[1]
    assert "There are no files under" in nothing[1]
    assert "longer than its timeout of 1 s" in timeout[1]
    assert split[0] == "" and "predefinedSplit.key 'sett': no such column" in split[1]
    assert "none-such" in parent[1]
    assert text == ["InvalidArgument", text[1]] and "2025-06-15" in text[1]
    assert tuning == ["MethodNotImplemented", tuning[1]] and "hyperparameter_tuning_task" in tuning[1]
    assert rest["models"] == 1 and rest["gone"]
