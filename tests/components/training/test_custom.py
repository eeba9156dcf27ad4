"""The components around the custom job in process, and what the job is asked for."""

import json
from pathlib import Path

import pytest
from kfp import compiler
from kfp.dsl import Artifact, Dataset, Metrics, Model

from trainwright.components.training.custom import (
    RUNTIME_FILES,
    XGBOOST_TABULAR,
    train_xgboost_tabular,
    trained_model,
    training_inputs,
)
from trainwright.trainers.xgboost_tabular.__main__ import Settings

JOB = json.dumps({"resources": [{"resourceType": "CustomJob", "resourceUri": "https://x/customJobs/7"}]})


def test_the_inputs_uris_and_the_directory():
    data = {name: Dataset(name=name, uri=f"gs://b/{name}") for name in ("train", "validation")}
    found = training_inputs.python_func(
        **data,
        transform=Artifact(name="transform", uri="gs://b/transform"),
        job=["anything"],
        directory=Artifact(name="directory", uri="gs://b/root/directory"),
    )
    assert found == ("gs://b/train", "gs://b/validation", "gs://b/transform", "gs://b/root/directory")


def test_the_model_is_where_the_job_wrote_it(tmp_path):
    (tmp_path / "model").mkdir()
    description = {"framework": "xgboost", "label": "churn", "metrics": {"validation_auc": 0.8}}
    (tmp_path / "model" / "model.json").write_text(json.dumps(description))
    model, metrics = Model(name="model", uri="elsewhere"), Metrics(name="metrics", uri="metrics")
    trained_model.python_func(directory=str(tmp_path), job=JOB, model=model, metrics=metrics)
    assert model.uri == f"{tmp_path}/model"
    assert model.metadata == {**description, "training_job": "https://x/customJobs/7"}
    assert metrics.metadata == {"validation_auc": 0.8}


def test_a_job_that_wrote_no_model_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="the training job wrote no model"):
        trained_model.python_func(
            directory=str(tmp_path), job=JOB, model=Model(uri="a"), metrics=Metrics(uri="b")
        )


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("compiled") / "train.json"
    compiler.Compiler().compile(train_xgboost_tabular, str(path))
    return json.loads(path.read_text())["root"]["dag"]["tasks"]


def test_the_job_is_asked_for_what_the_component_was(tasks):
    parameters = tasks["custom-training-job"]["inputs"]["parameters"]
    [pool] = parameters["worker_pool_specs"]["runtimeValue"]["constant"]
    machine = "{{$.inputs.parameters['pipelinechannel--machine_type']}}"
    assert pool["machine_spec"] == {"machine_type": machine}
    assert pool["container_spec"]["command"] == XGBOOST_TABULAR.container_spec()["command"]
    passed = {argument.partition("=")[0].removeprefix("--") for argument in pool["container_spec"]["args"]}
    assert passed == set(Settings.__dataclass_fields__) - {"label"}
    assert parameters["strategy"] == {"componentInputParameter": "strategy"}
    assert parameters["service_account"]["runtimeValue"]["constant"] == "{{$.pipeline_service_account}}"
    # Project and location stay the official op's own defaults: those of the run.
    assert "project" not in parameters
    assert "location" not in parameters


def test_every_argument_of_the_job_decides_about_its_directory(tasks):
    """Else a training with other arguments would get the cached directory of this one, and overwrite it."""
    [pool] = tasks["custom-training-job"]["inputs"]["parameters"]["worker_pool_specs"]["runtimeValue"][
        "constant"
    ]
    job = tasks["training-inputs"]["inputs"]["parameters"]["job"]["runtimeValue"]["constant"]
    data = ("--train=", "--validation=", "--transform=")
    arguments = [item for item in pool["container_spec"]["args"] if not item.startswith(data)]
    assert job == [XGBOOST_TABULAR.fingerprint, pool["machine_spec"]["machine_type"], *arguments]
    assert set(tasks["training-inputs"]["inputs"]["artifacts"]) == {"train", "validation", "transform"}


def test_one_default_in_component_and_trainer():
    inputs = train_xgboost_tabular.component_spec.inputs
    for name, field in Settings.__dataclass_fields__.items():
        if name not in ("train", "validation", "transform", "label"):
            assert inputs[name].default == field.default, name


def test_the_program_reads_no_file_that_it_does_not_carry():
    """Each relative import of the trainer is among its sources."""
    names = {
        word.partition("\n")[0].removeprefix("# source of ")
        for word in XGBOOST_TABULAR.container_spec()["command"]
        if word.startswith("# source of ")
    }
    folder = Path(__file__).parents[3] / "trainers"
    present = {f"trainers/{path.relative_to(folder)}" for path in (folder / "xgboost_tabular").rglob("*.py")}
    assert names == present | set(RUNTIME_FILES)
