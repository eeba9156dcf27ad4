"""The compiled pipeline: deterministic, nothing baked in, cached where it may be; a model worth having."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kfp import compiler

from trainwright.components.models.register import register_model
from trainwright.components.training.custom import train_xgboost_tabular
from trainwright.pipelines.tabular_custom import tabular_custom

REPOSITORY = Path(__file__).parents[2]
PARAMETERS = sorted((REPOSITORY / "pipelines").glob("tabular_custom.*.json"))


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compiler.Compiler().compile(tabular_custom, str(path))
    return path.read_text()


@pytest.fixture(scope="module")
def spec(text) -> dict:
    return yaml.safe_load(text)  # as aiplatform.PipelineJob does: fails on a second document


def every_task(spec: dict) -> dict[str, dict]:
    dags = [spec["root"]["dag"], *(part["dag"] for part in spec["components"].values() if "dag" in part)]
    return {name: task for dag in dags for name, task in dag["tasks"].items()}


def test_another_process_compiles_the_same_bytes(text, tmp_path):
    path = tmp_path / "pipeline.yaml"
    code = (
        "import sys; from kfp import compiler\n"
        "from trainwright.pipelines.tabular_custom import tabular_custom\n"
        "compiler.Compiler().compile(tabular_custom, sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True, cwd=REPOSITORY)
    assert path.read_text() == text


def test_nothing_of_a_place_is_baked_in(text):
    assert str(REPOSITORY) not in text
    for pattern in (r"gs://trainwright", r"trainwright-local", r"(us|europe|asia)-\w+\d\b"):
        assert not re.search(pattern, text), pattern


def test_what_must_not_be_cached_is_not(spec):
    cached = {
        name: task.get("cachingOptions", {}).get("enableCache") for name, task in every_task(spec).items()
    }
    ours = {name for name in cached if name != "importer" and not name.startswith("condition-")}
    assert {name for name in ours if not cached[name]} == {
        "fingerprint-source", "find-champion", "register-model",
    }  # fmt: skip


def test_every_task_has_a_name_for_people(spec):
    for name, task in every_task(spec).items():
        if not name.startswith("condition-"):
            shown = task["taskInfo"]["name"]
            assert shown[0].isupper() and shown != name, (name, shown)


def test_challenger_and_champion_are_not_the_same(spec):
    """A published template compared the challenger with itself."""
    branch = next(
        part["dag"]["tasks"]
        for part in spec["components"].values()
        if "importer" in part.get("dag", {}).get("tasks", {})
    )
    compared = branch["compare-models"]["inputs"]["artifacts"]
    assert compared["champion"]["taskOutputArtifact"]["producerTask"] == "evaluate-classification-2"
    assert "evaluate-classification-evaluation" in compared["challenger"]["componentInputArtifact"]
    evaluated = branch["evaluate-classification-2"]["inputs"]["artifacts"]["predictions"]
    assert evaluated["taskOutputArtifact"]["producerTask"] == "predict-tabular-2"
    predicted = branch["predict-tabular-2"]["inputs"]["artifacts"]
    assert predicted["model"]["taskOutputArtifact"]["producerTask"] == "importer"
    challenger = spec["root"]["dag"]["tasks"]["predict-tabular"]["inputs"]["artifacts"]
    assert challenger["dataset"]["taskOutputArtifact"] == {
        "outputArtifactKey": "test",
        "producerTask": "split",
    }
    assert predicted["dataset"]["componentInputArtifact"].endswith("split-test")


def test_rows_are_not_used_before_they_are_validated(spec):
    assert "validate" in spec["root"]["dag"]["tasks"]["split"]["dependentTasks"]


def test_outputs_by_name(spec):
    outputs = spec["root"]["dag"]["outputs"]
    assert set(outputs["parameters"]) == {"verdict", "challenger_wins", "version"}
    assert set(outputs["artifacts"]) == {
        "registered", "model", "test_metrics", "classification_metrics", "evaluation", "report", "profile",
    }  # fmt: skip


def test_one_default_in_pipeline_and_component():
    outer = tabular_custom.component_spec.inputs
    for component, expected in ((train_xgboost_tabular, "max_depth"), (register_model, "serving_image")):
        inner = component.component_spec.inputs
        shared = {name for name in set(outer) & set(inner) if outer[name].default is not None}
        shared.discard("metric")  # the pipeline's compares models, the trainer's stops early
        assert expected in shared
        assert {name: outer[name].default for name in shared} == {
            name: inner[name].default for name in shared
        }


def test_each_parameter_reaches_a_task(spec):
    used = json.dumps([spec["root"]["dag"]["tasks"]])
    for name in tabular_custom.component_spec.inputs:
        assert f'"componentInputParameter": "{name}"' in used, name
    image = spec["root"]["dag"]["tasks"]["register-model"]["inputs"]["parameters"]["serving_image"]
    assert image == {"componentInputParameter": "serving_image"}


def test_a_mistake_in_the_rules_is_found_before_there_is_data(spec):
    tasks = spec["root"]["dag"]["tasks"]
    assert "dependentTasks" not in tasks["read-rules"]
    checks = tasks["validate"]["inputs"]["parameters"]["checks"]["taskOutputParameter"]
    assert checks["producerTask"] == "read-rules"


@pytest.mark.parametrize("path", PARAMETERS, ids=lambda path: path.stem)
def test_parameter_files_fit(path):
    given, inputs = json.loads(path.read_text()), tabular_custom.component_spec.inputs
    kinds = {"String": str, "Integer": int, "Float": int | float, "Boolean": bool, "List": list, "Dict": dict}
    for name, value in given.items():
        assert isinstance(value, kinds[inputs[name].type]), name
    assert {name for name, found in inputs.items() if found.default is None} <= set(given)


def test_there_are_parameter_files():
    assert PARAMETERS


def test_the_churn_model_is_at_least_as_good_as_a_logistic_regression():
    done = subprocess.run(
        [sys.executable, REPOSITORY / "benchmarks" / "churn_baseline.py"],
        capture_output=True, text=True, check=True, cwd=REPOSITORY,
    )  # fmt: skip
    areas = {
        kind: float(area) for kind, area in re.findall(r"^(.+): AUC ([\d.]+)", done.stdout, re.MULTILINE)
    }
    assert set(areas) == {"gradient-boosted trees", "logistic regression"}
    assert areas["gradient-boosted trees"] >= areas["logistic regression"] > 0.8
