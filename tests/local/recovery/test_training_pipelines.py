"""kill -9 while a training pipeline runs: it goes on, with one job and one model."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from google_cloud_pipeline_components.v1.automl.training_job import AutoMLTabularTrainingJobRunOp
from google_cloud_pipeline_components.v1.dataset import TabularDatasetCreateOp
from kfp import dsl

_TRAINER = """
import os, pathlib, sys, time
root, marks = sys.argv[1:]
with open(marks + "/trainer", "a") as file:
    file.write("started\\n")
while not pathlib.Path(marks + "/go").exists():
    time.sleep(0.05)
folder = pathlib.Path(os.environ["AIP_MODEL_DIR"].replace("gs:/", root))
folder.mkdir(parents=True, exist_ok=True)
(folder / "model.txt").write_text("a model")
"""
_SUBMIT = """
import os, sys
from pathlib import Path
from trainwright.local.server import connect
state, trainer, *arguments = sys.argv[1:]
os.environ.update(connect(Path(state)))
from google.cloud import aiplatform
aiplatform.init(project="any-project", location="us-central1", staging_bucket="gs://trainwright-local/s")
job = aiplatform.CustomContainerTrainingJob(
    display_name="t", container_uri="python:3.11-slim", command=["python3", "-c", trainer],
    model_serving_container_image_uri="python:3.11-slim",
)
job.submit(model_display_name="m", args=arguments)
"""


@dsl.pipeline(name="automl")
def automl(folder: str):
    dataset = TabularDatasetCreateOp(display_name="t", gcs_source="gs://trainwright-local/t.csv")
    AutoMLTabularTrainingJobRunOp(
        display_name="t",
        project="any-project",
        target_column="y",
        dataset=dataset.outputs["dataset"],
        optimization_prediction_type="classification",
        budget_milli_node_hours=1000,
        column_transformations=[{"numeric": {"column_name": "x"}}],
    )


def _support() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conftest", Path(__file__).parent / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(vertex) -> dict:
    found = vertex.records("run", "/trainingPipelines/%/run").values()
    return json.loads(next(iter(found), '{"state": ""}'))


def test_a_killed_training_pipeline_goes_on_with_one_job_and_one_model(vertices: Callable) -> None:
    until = _support().until
    vertex = vertices("training")
    vertex.start()
    arguments = [str(vertex.state / "storage"), str(vertex.marks)]
    subprocess.run(
        [sys.executable, "-c", _SUBMIT, str(vertex.state), _TRAINER, *arguments], check=True, env=os.environ
    )
    until(lambda: vertex.lines().get("trainer") == 1, vertex.said)
    vertex.kill()
    vertex.start()
    until(lambda: vertex.lines().get("trainer") == 2, vertex.said)
    (vertex.marks / "go").touch()
    until(
        lambda: _run(vertex)["state"] == "PIPELINE_STATE_SUCCEEDED", lambda: f"{_run(vertex)} {vertex.said()}"
    )
    versions = vertex.names("modelVersion")
    assert len(vertex.names("customJob")) == 1 and len(versions) == 1
    assert versions == [f"{_run(vertex)['model']}@1"]

    # Killed between the upload and its record: the upload is found, not done again.
    vertex.kill()
    name = next(iter(vertex.records("run", "/trainingPipelines/%/run")))
    before = {**_run(vertex), "state": "PIPELINE_STATE_RUNNING", "model": None, "endTime": None}
    vertex.write(name, json.dumps(before))
    vertex.start()
    until(
        lambda: _run(vertex)["state"] == "PIPELINE_STATE_SUCCEEDED", lambda: f"{_run(vertex)} {vertex.said()}"
    )
    assert vertex.names("modelVersion") == versions and vertex.lines()["trainer"] == 2


def test_a_killed_launcher_of_automl_finds_the_training_that_it_had_begun(
    vertices: Callable, tmp_path: Path
) -> None:
    support = _support()
    template = support.compiled(automl, tmp_path)
    vertex = vertices("automl")
    vertex.start(automl_models=3)
    rows = "".join(f"{number / 7 % 1},{'ab'[number % 3 % 2]}\n" for number in range(1500))
    (vertex.state / "storage" / "trainwright-local" / "t.csv").write_text("x,y\n" + rows)
    vertex.submit(template, "automl")
    support.until(lambda: _run(vertex)["state"] == "PIPELINE_STATE_RUNNING", vertex.said)
    vertex.kill()
    vertex.start(automl_models=3)
    assert vertex.wait("automl") == "SUCCEEDED", vertex.run("automl")
    assert len(vertex.names("trainingPipeline")) == len(vertex.names("modelVersion")) == 1
