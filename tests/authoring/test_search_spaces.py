from typing import Any

import pytest
from google.cloud.aiplatform import hyperparameter_tuning as sdk
from google.cloud.aiplatform_v1.types import StudySpec

from trainwright.authoring.errors import Impossible
from trainwright.authoring.search_spaces import (
    Categorical,
    Child,
    Discrete,
    Double,
    Integer,
    study_spec_metrics,
    study_spec_parameters,
)


def test_a_space_renders_to_what_the_sdk_makes_of_its_own() -> None:
    ours = study_spec_parameters(
        {
            "learning_rate": Double(1e-4, 1e-1, scale="log"),
            "max_depth": Integer(2, 10),
            "batch": Discrete([16, 32, 64]),
            "booster": Categorical(
                ["gbtree", "dart"], children=[Child(["dart"], "rate_drop", Double(0.0, 0.5))]
            ),
        }
    )
    drop = sdk.DoubleParameterSpec(min=0.0, max=0.5, scale="linear", parent_values=["dart"])
    theirs = {
        "learning_rate": sdk.DoubleParameterSpec(min=1e-4, max=1e-1, scale="log"),
        "max_depth": sdk.IntegerParameterSpec(min=2, max=10, scale="linear"),
        "batch": sdk.DiscreteParameterSpec(values=[16, 32, 64], scale="linear"),
        "booster": sdk.CategoricalParameterSpec(
            values=["gbtree", "dart"], conditional_parameter_spec={"rate_drop": drop}
        ),
    }
    for spec, (name, expected) in zip(ours, theirs.items(), strict=True):
        assert StudySpec.ParameterSpec(spec) == expected._to_parameter_spec(parameter_id=name)
    assert study_spec_metrics({"auc": "maximize"}) == [{"metric_id": "auc", "goal": "MAXIMIZE"}]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Double(1.0, 0.1), "min above max"),
        (lambda: Double(0.0, 1.0, scale="log"), "scale 'log' needs min above 0"),
        (lambda: Double(0.1, 1.0, scale="lgo"), "Double with scale 'lgo', nearest is 'log'"),
        (lambda: Double(0.1, float("inf")), "inf is no number"),
        (lambda: Integer(1.5, 2), "1.5 is no integer"),
        (lambda: Integer(True, 2), "True is no integer"),
        (lambda: Discrete([3, 1]), "3 before 1, expected ascending values"),
        (lambda: Discrete([]), "Discrete of 0 values"),
        (lambda: Discrete(list(range(1001))), "Discrete of 1001 values, expected 1 to 1,000"),
        (lambda: Discrete([0, 1], scale="log"), "needs values above 0"),
        (lambda: Categorical([]), "Categorical of no values"),
        (lambda: Categorical([1]), "1 is no text; use Discrete for numbers"),
        (lambda: Categorical(["a", "a"]), "a value twice"),
        (
            lambda: Categorical(["a"], children=[Child(["b"], "x", Integer(1, 2))]),
            "child 'x': 'b' is none of the parent's values",
        ),
        (
            lambda: Categorical(
                ["a"], children=[Child(["a"], "x", Integer(1, 2)), Child(["a"], "x", Double(1, 2))]
            ),
            "child 'x' twice for the parent's value 'a'",
        ),
        (lambda: study_spec_parameters({}), "a search space without parameters"),
        (lambda: study_spec_parameters({"a b": Integer(1, 2)}), "hyperparameter 'a b'"),
        (lambda: study_spec_metrics({"au c": "maximize"}), "expected a name without spaces"),
        (lambda: study_spec_metrics({"auc": "max"}), "goal 'max', "),
    ],
)
def test_what_is_no_space_is_refused(build: Any, message: str) -> None:
    with pytest.raises(Impossible) as raised:
        build()
    assert message in str(raised.value)


def test_values_are_readable_and_take_runtime_values() -> None:
    assert repr(Double(0.1, 1.0, scale="log")) == "Double(min=0.1, max=1.0, scale='log')"
    spec = Integer("{{$.inputs.parameters['least']}}", 10).value_spec()
    assert spec["integer_value_spec"]["max_value"] == 10
