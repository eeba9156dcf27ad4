"""Tunes the churn model on local Vertex with few trials; what the compiled pipeline says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kfp import compiler

from trainwright.components.tuning.xgboost_tabular import tune_xgboost_tabular
from trainwright.local.server import LocalVertex
from trainwright.pipelines.tabular_custom import tabular_custom
from trainwright.pipelines.tabular_tuned import tabular_tuned

REPOSITORY = Path(__file__).parents[2]
PARAMETERS = sorted((REPOSITORY / "pipelines").glob("tabular_tuned.*.json"))
FEW = {"max_trial_count": 3, "rounds": 60, "report_every": 20}
PROGRAM = """
import json, sys
from google.cloud import aiplatform
from google.protobuf.json_format import MessageToDict
run = aiplatform.PipelineJob(
    display_name="tuned", template_path=sys.argv[1], parameter_values=json.loads(sys.argv[2]),
    project="trainwright-local", location="us-central1", pipeline_root="gs://trainwright-local/root",
)
run.run()
tasks = {task.task_name: task for task in run.task_details}
told = {
    name: MessageToDict(task.execution._pb)["metadata"] for name, task in tasks.items() if task.execution
}
metrics = {
    name: dict(artifact.metadata)
    for name, task in tasks.items()
    for key, output in task.outputs.items()
    for artifact in output.artifacts
    if key == "metrics"
}
print(json.dumps({"told": told, "metrics": metrics}))
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compiler.Compiler().compile(tabular_tuned, str(path))
    return path


@pytest.fixture(scope="module")
def run(compiled: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    parameters = json.loads((REPOSITORY / "pipelines" / "tabular_tuned.churn.json").read_text()) | FEW
    with LocalVertex(tmp_path_factory.mktemp("vertex") / "state") as vertex:
        for command in (
            ["-m", "examples.data", "churn", "gs://trainwright-local/data"],
            ["-c", PROGRAM, str(compiled), json.dumps(parameters)],
        ):
            done = subprocess.run(
                [sys.executable, *command], env=vertex.environment(), cwd=REPOSITORY,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_trained_model_is_the_best_trials(run: dict) -> None:
    told, metrics = run["told"], run["metrics"]
    results = told["tuning-results"]
    assert metrics["tuning-results"]["trials"] == 3
    best = results["output:best_hyperparameters"]
    given = {name: told["train-xgboost-tabular"][f"input:{name}"] for name in best}
    assert given == pytest.approx(best, abs=0)
    trained = metrics["trained-model"]["validation_logloss"]
    assert trained == metrics["tuning-results"]["validation_logloss"] == results["output:best_metric"]
    assert metrics["evaluate-classification"]["auRoc"] > 0.83
    assert "The challenger wins" in told["register-model"]["input:description"]


def test_what_must_not_be_cached_is_not(compiled: Path) -> None:
    spec = yaml.safe_load(compiled.read_text())
    dags = [spec["root"]["dag"], *(part["dag"] for part in spec["components"].values() if "dag" in part)]
    tasks = {name: task for dag in dags for name, task in dag["tasks"].items()}
    ours = {name for name in tasks if name != "importer" and not name.startswith("condition-")}
    assert {name for name in ours if not tasks[name].get("cachingOptions", {}).get("enableCache")} == {
        "fingerprint-source", "find-champion", "register-model",
    }  # fmt: skip
    assert all(tasks[name]["taskInfo"]["name"][0].isupper() for name in ours)


def test_each_parameter_reaches_a_task_and_has_one_default(compiled: Path) -> None:
    used = json.dumps(yaml.safe_load(compiled.read_text())["root"]["dag"]["tasks"])
    inputs = tabular_tuned.component_spec.inputs
    for name in inputs:
        assert f'"componentInputParameter": "{name}"' in used, name
    for other in (tabular_custom, tune_xgboost_tabular):
        shared = set(inputs) & set(other.component_spec.inputs) - {"metric"}
        assert len(shared) > 10
        assert {n: inputs[n].default for n in shared} == {
            n: other.component_spec.inputs[n].default for n in shared
        }


@pytest.mark.parametrize("path", PARAMETERS, ids=lambda path: path.stem)
def test_parameter_files_fit(path: Path) -> None:
    given, inputs = json.loads(path.read_text()), tabular_tuned.component_spec.inputs
    kinds = {"String": str, "Integer": int, "Float": int | float, "Boolean": bool, "List": list, "Dict": dict}
    assert all(isinstance(value, kinds[inputs[name].type]) for name, value in given.items())
    assert {name for name, found in inputs.items() if found.default is None} <= set(given)
