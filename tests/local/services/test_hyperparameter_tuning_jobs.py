"""Hyperparameter tuning jobs as Google's unmodified clients use them; trials use cloudml-hypertune."""

import json
import subprocess
import sys

import pytest
from google.cloud.aiplatform import hyperparameter_tuning as hpt
from google_cloud_pipeline_components.v1.hyperparameter_tuning_job import (
    HyperparameterTuningJobRunOp,
    serialize_metrics,
    serialize_parameters,
)
from kfp import compiler, dsl

from trainwright.local.server import LocalVertex

# Each trial waits for another one, so that two are seen to run at once.
TRAIN = """
import argparse, json, os, pathlib, time
import hypertune
parser = argparse.ArgumentParser()
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--rate", type=float, required=True)
parser.add_argument("--depth", type=int, required=True)
parser.add_argument("--units", type=int, required=True)
parser.add_argument("--kind", choices=["a", "b"], required=True)
given = parser.parse_args()
trial = os.environ["CLOUD_ML_TRIAL_ID"]
told = {**vars(given), "folder": "", "dir": os.environ["AIP_MODEL_DIR"]}
told["task"] = json.loads(os.environ["CLUSTER_SPEC"])["task"]
(given.folder / trial).write_text(json.dumps(told))
deadline = time.monotonic() + 20
while len(list(given.folder.iterdir())) < 2 and time.monotonic() < deadline:
    time.sleep(0.02)
tune = hypertune.HyperTune()
for step in (1, 2, 3):
    value = given.rate + given.depth + (step == 2)
    tune.report_hyperparameter_tuning_metric("score", value, global_step=step)
    time.sleep(0.01)
"""

PROGRAM = """
import json, sys, time
from google.api_core import exceptions
from google.cloud import aiplatform
from google.cloud import aiplatform_v1 as v1
from google.cloud.aiplatform import hyperparameter_tuning as hpt

folder, train, pipeline = sys.argv[1:]
aiplatform.init(project="any-project", location="us-central1", staging_bucket="gs://trainwright-local")
parent = "projects/any-project/locations/us-central1"
client = aiplatform.gapic.JobServiceClient(
    client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"}
)

def show(**values):
    print("= " + json.dumps(values))

def pools(program, *arguments):
    container = {"image_uri": "python:3.11-slim", "command": ["python3", "-c", program]}
    return [{
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": 1,
        "container_spec": {**container, "args": list(arguments)},
    }]

def tuning(program, *arguments, display_name="tune", **fields):
    return aiplatform.HyperparameterTuningJob(**{
        "display_name": display_name,
        "custom_job": aiplatform.CustomJob(
            display_name="trial", worker_pool_specs=pools(program, *arguments),
            base_output_dir="gs://trainwright-local/tuned",
        ),
        "metric_spec": {"score": "maximize"},
        "parameter_spec": {"x": hpt.IntegerParameterSpec(min=1, max=5, scale="linear")},
        "max_trial_count": 2,
        "parallel_trial_count": 1,
        **fields,
    })

def created(program, study, **fields):
    spec = {"worker_pool_specs": pools(program)}
    job = {"display_name": "raw", "study_spec": study, "trial_job_spec": spec, **fields}
    return client.create_hyperparameter_tuning_job(parent=parent, hyperparameter_tuning_job=job)

def ended(job, *states):
    deadline = time.monotonic() + 60
    while True:
        job = client.get_hyperparameter_tuning_job(name=job.name)
        if job.state.name.endswith(("SUCCEEDED", "FAILED", "CANCELLED")):
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)

# The pipeline goes on beside the rest.
run = aiplatform.PipelineJob(
    display_name="tuned", template_path=pipeline, pipeline_root="gs://trainwright-local/o",
)
run.submit()

job = tuning(
    train, folder,
    max_trial_count=6, parallel_trial_count=4, labels={"team": "a"},
    parameter_spec={
        "rate": hpt.DoubleParameterSpec(min=1e-4, max=1e-1, scale="log"),
        "depth": hpt.IntegerParameterSpec(min=1, max=8, scale="linear"),
        "units": hpt.DiscreteParameterSpec(values=[16, 64, 512], scale="log"),
        "kind": hpt.CategoricalParameterSpec(values=["a", "b"]),
    },
)
job.run(sync=False)
failing = tuning("import sys; print('bad luck'); sys.exit(3)", max_trial_count=3, display_name="failing")
try:
    failing.run()
except RuntimeError as error:
    show(failing=str(error), state=failing.state.name, trials=len(failing.trials))
job.wait()
show(
    state=job.state.name,
    name=job.resource_name,
    listed=[each.display_name for each in aiplatform.HyperparameterTuningJob.list(filter='labels.team="a"')],
    custom_jobs=len(aiplatform.CustomJob.list()),
    trials=[{
        "id": trial.id,
        "state": trial.state.name,
        "parameters": {each.parameter_id: each.value for each in trial.parameters},
        "final": [trial.final_measurement.step_count, trial.final_measurement.metrics[0].value],
        "steps": [each.step_count for each in trial.measurements],
        "times": [trial.start_time.timestamp(), trial.end_time.timestamp()],
    } for trial in job.trials],
)

grid = {
    "algorithm": "GRID_SEARCH",
    "metrics": [{"metric_id": "score", "goal": "MINIMIZE"}],
    "parameters": [{"parameter_id": "x", "integer_value_spec": {"min_value": 1, "max_value": 4}}],
    "median_automated_stopping_spec": {},
}
report = '''
import os, sys, time, hypertune
x, tune = int(sys.argv[1].partition("=")[2]), hypertune.HyperTune()
for step in range(1, 4 if x < 3 else 4000):
    tune.report_hyperparameter_tuning_metric("score", x, global_step=step)
    time.sleep(0.01)
'''
stopping = created(report, grid, max_trial_count=9, parallel_trial_count=1)
silent = created(
    "import hypertune; hypertune.HyperTune().report_hyperparameter_tuning_metric('scorre', 1)",
    {**grid, "measurement_selection_type": "BEST_MEASUREMENT"}, max_trial_count=4, parallel_trial_count=1,
    max_failed_trial_count=2,
)
silent = ended(silent)
show(
    silent=silent.state.name, error=silent.error.message, code=silent.error.code,
    reasons=[trial.infeasible_reason for trial in silent.trials],
)
stopping = ended(stopping)
show(
    stopping=stopping.state.name,
    finals=[trial.final_measurement.metrics[0].value for trial in stopping.trials],
    steps=[len(trial.measurements) for trial in stopping.trials],
    states=[trial.state.name for trial in stopping.trials],
)

hanging = created("import time; time.sleep(300)", grid, max_trial_count=4, parallel_trial_count=2)
try:
    client.delete_hyperparameter_tuning_job(name=hanging.name)
except exceptions.FailedPrecondition as error:
    show(deleting=error.message)
client.cancel_hyperparameter_tuning_job(name=hanging.name)
hanging = ended(hanging)
show(cancelled=hanging.state.name, states=[trial.state.name for trial in hanging.trials])
client.delete_hyperparameter_tuning_job(name=hanging.name).result()
try:
    client.get_hyperparameter_tuning_job(name=hanging.name)
except exceptions.NotFound as error:
    show(gone=True)
try:
    created("", {**grid, "parameters": []}, max_trial_count=1, parallel_trial_count=1)
except exceptions.InvalidArgument as error:
    show(refused=error.message)

run.wait()
task = next(task for task in run.task_details if task.task_name == "hyperparameter-tuning-job")
resources = json.loads(task.execution.metadata["output:gcp_resources"])
name = resources["resources"][0]["resourceUri"].partition("/v1/")[2]
tuned = client.get_hyperparameter_tuning_job(name=name)
show(pipeline=run.state.name, trials=[trial.state.name for trial in tuned.trials])
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("tuning")
    marks = folder / "marks"
    marks.mkdir()

    @dsl.pipeline(name="tuned")
    def tuned():
        container = {
            "image_uri": "python:3.11-slim",
            "command": ["python3", "-c"],
            "args": [
                "import hypertune; hypertune.HyperTune().report_hyperparameter_tuning_metric('score', 1)"
            ],
        }
        HyperparameterTuningJobRunOp(
            display_name="from a pipeline",
            base_output_directory="gs://trainwright-local/pipeline",
            worker_pool_specs=[
                {
                    "machine_spec": {"machine_type": "n1-standard-4"},
                    "replica_count": 1,
                    "container_spec": container,
                }
            ],
            study_spec_metrics=serialize_metrics({"score": "maximize"}),
            study_spec_parameters=serialize_parameters(
                {"x": hpt.DoubleParameterSpec(min=0.1, max=1.0, scale="log")}
            ),
            max_trial_count=2,
            parallel_trial_count=2,
        )

    template = folder / "tuned.yaml"
    compiler.Compiler().compile(tuned, str(template))
    with LocalVertex(folder / "state") as vertex:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(marks), TRAIN, str(template)],
            env=vertex.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line[2:] for line in done.stdout.splitlines() if line.startswith("= ")]
    told = {next(iter(found)): found for found in map(json.loads, lines)}
    return {**told, "given": {path.name: json.loads(path.read_text()) for path in marks.iterdir()}}


def test_trials_of_the_sdks_job(shown: dict) -> None:
    job = shown["state"]
    assert (job["state"], job["listed"]) == ("JOB_STATE_SUCCEEDED", ["tune"])
    assert [trial["id"] for trial in job["trials"]] == ["1", "2", "3", "4", "5", "6"]
    for trial in job["trials"]:
        parameters = trial["parameters"]
        given = shown["given"][trial["id"]]
        assert given.pop("task") == {"type": "workerpool0", "index": 0, "trial": trial["id"]}
        assert given.pop("dir") == f"gs://trainwright-local/tuned/{trial['id']}/model/"
        assert {**parameters, "folder": ""} == given
        assert 1e-4 <= parameters["rate"] <= 1e-1 and 1 <= parameters["depth"] <= 8
        assert parameters["units"] in (16, 64, 512)
        assert trial["state"] == "SUCCEEDED"
        # BEST_MEASUREMENT is the SDK's default: the second step's.
        assert trial["final"] == [2, parameters["rate"] + parameters["depth"] + 1]
        assert trial["steps"] == [1, 2, 3]
    assert len({json.dumps(trial["parameters"]) for trial in job["trials"]}) == 6
    assert job["custom_jobs"] == 0


def test_trials_run_beside_one_another(shown: dict) -> None:
    times = [trial["times"] for trial in shown["state"]["trials"]]
    overlaps = [max(a[0], b[0]) < min(a[1], b[1]) for a in times for b in times if a is not b]
    assert any(overlaps)
    started, ended = [begin for begin, _ in times], sorted(end for _, end in times)
    assert started[4] >= ended[0] and started[5] >= ended[1]  # never more than four


def test_the_first_trial_that_fails_ends_the_job(shown: dict) -> None:
    failing = shown["failing"]
    assert (failing["state"], failing["trials"]) == ("JOB_STATE_FAILED", 1)
    assert (
        "Trial 1 failed: The replica workerpool0-0 exited with a non-zero status of 3" in failing["failing"]
    )
    assert "bad luck" in failing["failing"]


def test_a_trial_without_the_metric_has_failed(shown: dict) -> None:
    silent = shown["silent"]
    reason = "The trial did not report the metric 'score': it reported 'scorre'."
    assert silent["silent"] == "JOB_STATE_FAILED" and silent["code"] == 3
    assert silent["reasons"] == [reason, reason]
    assert silent["error"] == f"2 trials failed; the first was trial 1: {reason}"


def test_the_median_rule_stops_running_trials(shown: dict) -> None:
    stopping = shown["stopping"]
    assert stopping["stopping"] == "JOB_STATE_SUCCEEDED"
    assert stopping["finals"] == [1.0, 2.0, 3.0, 4.0]  # the whole grid, though more trials were asked for
    assert stopping["states"] == ["SUCCEEDED"] * 4
    assert stopping["steps"][0] == 3 and all(steps < 2000 for steps in stopping["steps"])


def test_cancel_and_delete(shown: dict) -> None:
    assert "has not ended" in shown["deleting"]["deleting"]
    assert shown["cancelled"]["cancelled"] == "JOB_STATE_CANCELLED"
    assert set(shown["cancelled"]["states"]) <= {"INFEASIBLE"}
    assert shown["gone"]["gone"]


def test_what_is_not_valid_is_refused(shown: dict) -> None:
    assert shown["refused"]["refused"] == "studySpec.parameters: empty; expected at least one parameter"


def test_the_pipeline_components_op(shown: dict) -> None:
    assert shown["pipeline"]["pipeline"] == "PIPELINE_STATE_SUCCEEDED"
    assert shown["pipeline"]["trials"] == ["SUCCEEDED", "SUCCEEDED"]
