"""The tuning of the tabular trainer fits the trainer, and the training that comes after it."""

import json
import re
from pathlib import Path

import pytest
from kfp import compiler
from kfp.dsl import Artifact, Dataset

from trainwright.components.training.custom import XGBOOST_TABULAR, train_xgboost_tabular
from trainwright.components.tuning.hyperparameters import tune_hyperparameters
from trainwright.components.tuning.xgboost_tabular import (
    SEARCH_SPACE,
    tune_xgboost_tabular,
    xgboost_tabular_hyperparameters,
    xgboost_tabular_study,
)
from trainwright.trainers.xgboost_tabular.__main__ import METRICS, Settings

TYPED = {name: output.type for name, output in xgboost_tabular_hyperparameters.component_spec.outputs.items()}


def study(search_space: list, metric: str = "auc") -> tuple:
    data = {name: Dataset(uri=f"gs://b/{name}") for name in ("train", "validation")}
    transform = Artifact(uri="gs://b/transform")
    return xgboost_tabular_study.python_func(
        **data, transform=transform, search_space=search_space, metric=metric
    )


def test_the_trainers_metrics_and_their_goals() -> None:
    for metric, better in METRICS.items():
        goal = {min: "MINIMIZE", max: "MAXIMIZE"}[better]
        assert study(SEARCH_SPACE, metric)[3:] == (f"validation_{metric}", goal)


@pytest.mark.parametrize("name", TYPED)
def test_what_is_searched_is_a_hyperparameter_of_the_trainer(name: str) -> None:
    assert name in Settings.__dataclass_fields__
    assert study([{"parameter_id": name}])[:3] == ("gs://b/train", "gs://b/validation", "gs://b/transform")


def test_a_strange_name_and_a_strange_metric_end_before_there_is_a_job() -> None:
    child = {"conditional_parameter_specs": [{"parameter_spec": {"parameter_id": "max_dept"}}]}
    with pytest.raises(ValueError, match=r"'max_dept' is no hyperparameter .* nearest: 'max_depth'"):
        study([{"parameter_id": "rounds", **child}])
    with pytest.raises(ValueError, match="metric 'accuracy': expected logloss or auc"):
        study(SEARCH_SPACE, "accuracy")


def test_the_best_values_are_typed_and_the_others_stay() -> None:
    given = {name: getattr(Settings, name) for name in TYPED}
    best = {"max_depth": 7.0, "learning_rate": 1}  # as JSON may bring them
    found = dict(zip(TYPED, xgboost_tabular_hyperparameters.python_func(best=best, **given), strict=True))
    assert found == {**given, "max_depth": 7, "learning_rate": 1.0}
    assert all(type(found[name]) is {"Integer": int, "Float": float}[TYPED[name]] for name in TYPED)


def test_a_trial_and_the_training_with_the_best_get_the_same(tmp_path: Path) -> None:
    flags = []
    for component, task, name in (
        (tune_xgboost_tabular, "tune-hyperparameters", "worker_pool_specs"),
        (train_xgboost_tabular, "custom-training-job", "worker_pool_specs"),
    ):
        path = tmp_path / "compiled.json"
        compiler.Compiler().compile(component, str(path))
        tasks = json.loads(path.read_text())["root"]["dag"]["tasks"]
        [pool] = tasks[task]["inputs"]["parameters"][name]["runtimeValue"]["constant"]
        assert pool["container_spec"]["command"] == XGBOOST_TABULAR.container_spec()["command"]
        arguments = [argument.partition("=") for argument in pool["container_spec"]["args"]]
        flags.append([(name, re.sub(r"[\w-]+-(\w+_uri)", r"\1", value)) for name, _, value in arguments])
    assert sorted(flags[0]) == sorted(flags[1])
    trained, tuned = train_xgboost_tabular.component_spec.inputs, tune_xgboost_tabular.component_spec.inputs
    for name in set(trained) & set(tuned) - {"display_name"}:
        assert trained[name].default == tuned[name].default, name
    general = tune_hyperparameters.component_spec.inputs
    for name in set(general) & set(tuned) - {
        "display_name",
        "max_trial_count",
        "search_space",
        "metric",
        "timeout",
    }:
        assert general[name].default == tuned[name].default, name
