"""kill -9 while a hyperparameter tuning job runs: what has ended stays, the rest runs again under its id."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

_HERE = Path(__file__).parent


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, _HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


support = _module("conftest")
pytestmark = pytest.mark.timeout(180)

_TRAIN = """
import os, pathlib, sys, time
import hypertune
folder, trial = pathlib.Path(sys.argv[1]), os.environ["CLOUD_ML_TRIAL_ID"]
with open(folder / f"trial-{trial}", "a") as file:
    file.write(sys.argv[2] + "\\n")
hypertune.HyperTune().report_hyperparameter_tuning_metric("score", float(sys.argv[2].partition("=")[2]))
deadline = time.monotonic() + 120
while int(trial) > 2 and not (folder / "go").exists() and time.monotonic() < deadline:
    time.sleep(0.02)
"""
_CREATE = """
import os, sys
from pathlib import Path
from trainwright.local.server import connect
state, folder, train = sys.argv[1:]
os.environ.update(connect(Path(state)))
from google.cloud import aiplatform
from google.cloud.aiplatform import hyperparameter_tuning as hpt
aiplatform.init(project="trainwright-local", location="us-central1", staging_bucket="gs://trainwright-local")
container = {"image_uri": "python:3.11-slim", "command": ["python3", "-c", train], "args": [folder]}
pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1, "container_spec": container}
job = aiplatform.HyperparameterTuningJob(
    display_name="tune",
    custom_job=aiplatform.CustomJob(display_name="trial", worker_pool_specs=[pool]),
    metric_spec={"score": "maximize"},
    parameter_spec={"x": hpt.DoubleParameterSpec(min=0.0, max=1.0, scale="linear")},
    max_trial_count=6,
    parallel_trial_count=2,
)
job.run(sync=False)
job.wait_for_resource_creation()
os._exit(0)  # it would wait for the end
"""


def test_a_killed_study_goes_on(vertices: Callable) -> None:
    vertex = vertices("tuning")
    vertex.start()
    command = [sys.executable, "-c", _CREATE, str(vertex.state), str(vertex.marks), _TRAIN]
    subprocess.run(command, check=True, capture_output=True)

    def trials() -> dict[str, dict]:
        return {trial["id"]: trial for trial in map(json.loads, vertex.records("trial").values())}

    def said() -> str:
        return f"{trials()} {vertex.lines()} {vertex.said()}"

    running = {"trial-3", "trial-4"}
    support.until(lambda: running <= vertex.lines().keys(), said)
    before = trials()
    assert [before[number]["state"] for number in ("1", "2")] == ["SUCCEEDED", "SUCCEEDED"]
    vertex.kill()
    vertex.start()
    support.until(lambda: all(vertex.lines()[name] == 2 for name in running), said)
    vertex.kill()
    (vertex.marks / "go").write_text("")
    vertex.start()

    def states() -> list[str]:
        runs = vertex.records("run", "/hyperparameterTuningJobs/").values()
        return [json.loads(run)["state"] for run in runs]

    support.until(lambda: states() == ["JOB_STATE_SUCCEEDED"], said)
    after = trials()
    assert list(after) == ["1", "2", "3", "4", "5", "6"]
    assert all(after[number] == before[number] for number in ("1", "2"))
    assert all(trial["state"] == "SUCCEEDED" for trial in after.values())
    ran = {name: (vertex.marks / name).read_text().splitlines() for name in vertex.lines() if name != "go"}
    counts = {name: len(lines) for name, lines in ran.items()}
    assert counts == {f"trial-{number}": 3 if number in (3, 4) else 1 for number in range(1, 7)}
    for number, trial in after.items():  # each time with the same parameters
        assert set(ran[f"trial-{number}"]) == {f"--x={trial['parameters']['x']}"}
        assert trial["final"]["metrics"]["score"] == trial["parameters"]["x"]
