"""Tuning: the job that is asked for, and the components with real trials on local Vertex."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest
from google.cloud import aiplatform_v1 as v1
from kfp.dsl import HTML, Artifact, Dataset

from trainwright.components.tuning.hyperparameters import (
    describe_tuning_job,
    tune_hyperparameters,
)
from trainwright.components.tuning.report import hyperparameter_importance, report_tuning
from trainwright.local.server import LocalVertex

SPACE = [
    {
        "parameter_id": "rate",
        "double_value_spec": {"min_value": 0.001, "max_value": 1},
        "scale_type": "UNIT_LOG_SCALE",
    },
    {"parameter_id": "units", "discrete_value_spec": {"values": [16, 64]}},
    {
        "parameter_id": "kind",
        "categorical_value_spec": {"values": ["flat", "deep"]},
        "conditional_parameter_specs": [
            {
                "parent_categorical_values": {"values": ["deep"]},
                "parameter_spec": {
                    "parameter_id": "depth",
                    "integer_value_spec": {"min_value": 2, "max_value": 5},
                },
            }
        ],
    },
]
# What a team's own program does: its flags, and cloudml-hypertune.
PROGRAM = """
import argparse, hypertune, os
parser = argparse.ArgumentParser()
for name, kind in (("rate", float), ("units", int), ("kind", str), ("depth", int)):
    parser.add_argument(f"--{name}", type=kind, default=0)
given = parser.parse_args()
assert not os.environ["CLOUD_ML_TRIAL_ID"] == "2", "unlucky"
tune = hypertune.HyperTune()
for step in (1, 2, 3):
    value = given.rate + given.depth + (step != 2)
    tune.report_hyperparameter_tuning_metric("loss", value, global_step=step)
"""
WAITING = "import time; time.sleep(300)"


def described(folder: Path, program: str = PROGRAM, **changes) -> dict:
    """The job, as `describe_tuning_job` writes it."""
    container = {"image_uri": "python:3.11-slim", "command": ["python3", "-c", program]}
    machine = {"machine_type": "e2-standard-4"}
    asked = {
        "display_name": "tune",
        "worker_pool_specs": [{"machine_spec": machine, "replica_count": 1, "container_spec": container}],
        "search_space": SPACE,
        "metric": "loss",
        "goal": "MINIMIZE",
        "directory": Artifact(uri="gs://trainwright-local/tuned"),
        "job": Artifact(uri=str(folder / "job.json")),
        "service_account": "",
        "network": "",
        "encryption_key": "",
        "persistent_resource_id": "",
        **changes,
    }
    describe_tuning_job.python_func(**asked)
    return json.loads((folder / "job.json").read_text())


def test_the_job_has_what_the_official_op_leaves_out(tmp_path: Path) -> None:
    job = described(
        tmp_path,
        automated_stopping="CONVEX",
        automated_stopping_settings={"max_step_count": 1000, "use_elapsed_duration": False},
        study_stopping={
            "max_num_trials_no_progress": 10,
            "maximum_runtime_constraint": {"max_duration": "60s"},
        },
        strategy="SPOT",
        timeout="3600s",
        trial_settings={"enable_web_access": True},
        labels={"team": "growth"},
        encryption_key="projects/p/locations/l/keyRings/r/cryptoKeys/k",
    )
    asked = v1.HyperparameterTuningJob.from_json(json.dumps(job))  # as `run_tuning_job` reads it
    assert asked.study_spec.convex_automated_stopping_spec.max_step_count == 1000
    assert asked.study_spec.study_stopping_config.max_num_trials_no_progress == 10
    assert asked.study_spec.measurement_selection_type.name == "BEST_MEASUREMENT"
    trial = asked.trial_job_spec
    assert (trial.scheduling.strategy.name, trial.scheduling.timeout.seconds) == ("SPOT", 3600)
    assert trial.enable_web_access
    assert trial.base_output_directory.output_uri_prefix == "gs://trainwright-local/tuned"
    assert asked.labels == {"team": "growth"}
    assert asked.encryption_spec.kms_key_name.endswith("/k")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"goal": "minimise"}, "goal 'minimise'; expected MAXIMIZE, MINIMIZE; nearest: MINIMIZE"),
        ({"automated_stopping": "median"}, "nearest: MEDIAN"),
        ({"parallel_trial_count": 30}, "parallel_trial_count 30: expected 1 to 20"),
        ({"max_failed_trial_count": -1}, "max_failed_trial_count -1: expected 0 to 20"),
        ({"search_space": []}, "search_space is empty"),
    ],
)
def test_a_mistake_ends_before_there_is_a_job(tmp_path: Path, changes: dict, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)):
        described(tmp_path, **changes)


def test_each_setting_of_the_job_is_one_of_the_tuning() -> None:
    inner, outer = describe_tuning_job.component_spec.inputs, tune_hyperparameters.component_spec.inputs
    of_the_run = {"service_account", "network", "encryption_key", "persistent_resource_id"}
    assert set(inner) - of_the_run == set(outer)
    assert all(inner[name].default.startswith("{{$.pipeline_") for name in of_the_run)
    for name in set(outer) - {"display_name"}:
        assert inner[name].default == outer[name].default, name


@pytest.fixture(scope="module")
def vertex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVertex]:
    with LocalVertex(tmp_path_factory.mktemp("vertex") / "state") as vertex:
        yield vertex


RUN = """
import sys
from kfp.dsl import Artifact
from trainwright.components.tuning.hyperparameters import run_tuning_job
run_tuning_job.python_func(
    job=Artifact(uri=sys.argv[1] + "/job.json"), gcp_resources=sys.argv[1] + "/gcp_resources",
    project="trainwright-local", location="us-central1",
)
"""
READ = """
import json, sys
from kfp.dsl import Dataset, Metrics
from trainwright.components.tuning.hyperparameters import tuning_results
folder = sys.argv[1]
trials, metrics = Dataset(uri=folder + "/trials"), Metrics(uri=folder + "/metrics")
found = tuning_results.python_func(
    gcp_resources=open(folder + "/gcp_resources").read(), trials=trials, metrics=metrics
)
print(json.dumps([*found, trials.metadata, metrics.metadata]))
"""
STATE = """
import json, sys
from google.cloud import aiplatform_v1 as v1
address = json.load(open(sys.argv[1] + "/gcp_resources"))["resources"][0]["resourceUri"]
client = v1.JobServiceClient(client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"})
job = client.get_hyperparameter_tuning_job(name=address.partition("/v1/")[2])
parent = job.name.partition("/hyperparameterTuningJobs/")[0]
print(job.state.name, len(list(client.list_hyperparameter_tuning_jobs(parent=parent))))
"""


def start(vertex: LocalVertex, program: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        env=vertex.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


@pytest.fixture(scope="module")
def tuned(vertex: LocalVertex, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list]:
    folder = tmp_path_factory.mktemp("tuned")
    described(folder, max_trial_count=6, parallel_trial_count=3, max_failed_trial_count=2)
    status, said = end(start(vertex, RUN, folder))
    assert status == 0, said
    status, said = end(start(vertex, READ, folder))
    assert status == 0, said
    return folder, json.loads(said.splitlines()[-1])


def test_the_best_trial_and_all_of_them(tuned: tuple[Path, list]) -> None:
    folder, (best, value, trial, about, metrics) = tuned
    table = pyarrow.parquet.read_table(folder / "trials.parquet")
    rows = table.to_pylist()
    assert (about["rows"], about["metric"], about["goal"]) == (6, "loss", "MINIMIZE")
    assert about["columns"] == table.column_names and about["log_scaled"] == ["params_rate"]
    assert metrics == {"loss": value, "trials": 6, "infeasible_trials": 1}
    done = [row for row in rows if row["trial"] != "2"]
    for row in done:
        assert (row["value"], row["step"]) == (row["params_rate"] + (row["params_depth"] or 0), 2)
        assert [point["step"] for point in row["measurements"]] == [1, 2, 3]
        assert (row["params_depth"] is None) == (row["params_kind"] == "flat")
        assert row["start"] < row["end"]
    [failed] = [row for row in rows if row["trial"] == "2"]
    assert (failed["state"], failed["value"]) == ("INFEASIBLE", None) and "unlucky" in failed["reason"]
    expected = min(done, key=lambda row: row["value"])
    assert (trial, value) == (expected["trial"], expected["value"])
    given = {name: expected[f"params_{name}"] for name in ("rate", "units", "kind", "depth")}
    assert best == {name: value for name, value in given.items() if value is not None}
    assert isinstance(best["units"], int)


def test_the_page_stands_alone_and_is_the_same_again(tuned: tuple[Path, list]) -> None:
    folder, (best, *_, about, _metrics) = tuned
    trials = Dataset(uri=str(folder / "trials.parquet"), metadata=about)
    importance = hyperparameter_importance.python_func(trials=trials)
    assert set(importance) == {"rate", "units", "kind", "depth"} and sum(
        importance.values()
    ) == pytest.approx(1)
    pages = []
    for name in ("a", "b"):
        page = HTML(uri=str(folder / name))
        report_tuning.python_func(trials=trials, importance=importance, report=page, title="<Rate & depth>")
        pages.append(Path(page.path).read_text())
    assert pages[0] == pages[1]
    assert pages[0].count("<svg") == 4 and "&lt;Rate &amp; depth&gt;" in pages[0]
    assert f"<dt>kind<dd>{best['kind']}" in pages[0] and "unlucky" in pages[0]
    assert not re.search(r"<script|<link|src=|url\((?!#)|@import", pages[0])


def test_a_failure_names_the_trial_and_why(vertex: LocalVertex, tmp_path: Path) -> None:
    described(tmp_path, "raise SystemExit('no such column: age')", parallel_trial_count=1)
    status, said = end(start(vertex, RUN, tmp_path))
    assert status == 1
    assert re.search(r"tuning job projects/\S+ ended as FAILED: ", said)
    assert re.search(r"trial 1 \(rate=[\d.e-]+, .*kind=\w+.*\): .*no such column: age", said, re.DOTALL)


def test_a_step_that_starts_again_goes_on_with_its_job_and_a_cancelled_one_cancels_it(
    vertex: LocalVertex, tmp_path: Path
) -> None:
    described(tmp_path, WAITING)
    first = start(vertex, RUN, tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "gcp_resources").exists() or not (tmp_path / "gcp_resources").read_text():
        assert time.monotonic() < deadline and first.poll() is None, end(first)
        time.sleep(0.02)
    first.kill()
    end(first)
    written = (tmp_path / "gcp_resources").read_text()
    _, before = end(start(vertex, STATE, tmp_path))
    assert before.split()[0] in ("JOB_STATE_PENDING", "JOB_STATE_QUEUED", "JOB_STATE_RUNNING")

    second = start(vertex, RUN, tmp_path)
    assert second.stdout is not None and "hyperparameter tuning job" in second.stdout.readline()
    second.send_signal(signal.SIGTERM)
    assert end(second)[0] == 128 + signal.SIGTERM
    assert (tmp_path / "gcp_resources").read_text() == written
    deadline = time.monotonic() + 60
    while (found := end(start(vertex, STATE, tmp_path))[1].split())[0] != "JOB_STATE_CANCELLED":
        assert time.monotonic() < deadline, found
    assert found[1] == before.split()[1], "no other job was made"
