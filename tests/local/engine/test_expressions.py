import pytest

from trainwright.local.engine.expressions import ExpressionError, holds, selected

PARAMETERS = {"i": 3, "d": 2.5, "s": "a'b", "true": "true", "b": True, "l": [1, 2], "none": None}
ARTIFACTS = {"m": [{"name": "x", "uri": "gs://b/x", "metadata": {"accuracy": 0.95}}]}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("inputs.parameter_values['i'] == 3", True),
        ("inputs.parameter_values['i'] == 3.0", True),
        ("int(inputs.parameter_values['i']) >= 3", True),
        ("double(inputs.parameter_values['i']) < 3.5 && 3 < 3.5", True),
        ("inputs.parameter_values['d'] > 2", True),
        ("inputs.parameter_values['s'] == 'secret'", False),
        ("inputs.parameter_values['true'] == true", False),
        ("inputs.parameter_values['b'] == true", True),
        ("inputs.parameter_values['b']", True),
        ("!(inputs.parameter_values['s'] == 'x') && !(int(inputs.parameter_values['i']) < 2)", True),
        ("inputs.parameter_values['i'] != 'three'", True),
        ("true == 0", False),
        ("inputs.parameter_values['l'] == [1.0, 2.0]", True),
        ("3 in [1, 3.0]", True),
        ("inputs.artifacts['m'].artifacts[0].metadata['accuracy']*100.0 > 90.0", True),
        ("inputs.parameters['true'].string_value == 'true'", True),
    ],
)
def test_conditions(condition, expected):
    assert holds(condition, PARAMETERS, ARTIFACTS) is expected


@pytest.mark.parametrize(
    "condition",
    [
        "inputs.parameter_values['missing'] == 'x'",
        "inputs.parameter_values['none'] == 'x'",
        "'it's' == 'x'",
        "",
        "inputs.parameter_values['s']",
        "inputs.parameter_values['s'] < 3",
        "unknown == 1",
        "1/0 == 1",
        "inputs.artifacts['m'].artifacts[0].metadata['auc'] > 0.5",
        "__import__('os').system('x') == 0",
    ],
)
def test_a_condition_that_cannot_be_decided_is_an_error_of_one_line(condition):
    with pytest.raises(ExpressionError) as error:
        holds(condition, PARAMETERS, ARTIFACTS)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_value_cannot_change_what_a_condition_means():
    injected = {"s": "' or 'a'=='a' or '"}
    assert holds("inputs.parameter_values['s'] == 'secret'", injected, {}) is False


@pytest.mark.parametrize(
    ("selector", "value", "expected"),
    [
        ('parseJson(string_value)["a"]', {"a": 1.0}, 1),
        ('parseJson(string_value)["a"][1]', '{"a": [1, {"b": 2}]}', {"b": 2}),
        ("string_value", {"a": 1.0}, '{"a": 1}'),
        ("string_value", "x", "x"),
    ],
)
def test_selectors(selector, value, expected):
    assert selected(selector, value) == expected


@pytest.mark.parametrize("value", [{"b": 1}, "no json", [1]])
def test_a_selector_that_finds_nothing_is_an_error(value):
    with pytest.raises(ExpressionError):
        selected('parseJson(string_value)["a"]', value)
