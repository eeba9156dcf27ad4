import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.local.engine.values import WrongType, checked, converted, normalise, parsed, text

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda items: st.lists(items) | st.dictionaries(st.text(), items),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (3.0, "NUMBER_INTEGER", 3),
        (3, "NUMBER_DOUBLE", 3),
        (2.5, "NUMBER_DOUBLE", 2.5),
        ([1.0, {"a": 2.0}], "LIST", [1, {"a": 2}]),
        (True, "BOOLEAN", True),
    ],
)
def test_a_value_of_its_type_is_taken_with_integers_as_integers(value, kind, expected):
    assert json.dumps(checked(value, kind)) == json.dumps(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1", "NUMBER_INTEGER"),
        (True, "NUMBER_INTEGER"),
        (1.5, "NUMBER_INTEGER"),
        (True, "NUMBER_DOUBLE"),
        (1, "STRING"),
        ("true", "BOOLEAN"),
        (0, "BOOLEAN"),
        ("[]", "LIST"),
        ([], "STRUCT"),
        (math.nan, "NUMBER_DOUBLE"),
    ],
)
def test_types_are_strict(value, kind):
    with pytest.raises(WrongType):
        checked(value, kind)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7.0, "7"),
        (0.5, "0.5"),
        (True, "true"),
        ([1.0, "a"], '[1, "a"]'),
        ({"a": 2.0}, '{"a": 2}'),
        ("x", "x"),
    ],
)
def test_a_string_takes_any_value_as_text(value, expected):
    assert text(value) == converted(value, "STRING") == expected


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (" 3\n", "NUMBER_INTEGER", 3),
        ("1e3", "NUMBER_DOUBLE", 1000),
        ("True", "BOOLEAN", True),
        ("0", "BOOLEAN", False),
        ('{"a": 1.0}', "STRUCT", {"a": 1}),
        (" x\n", "STRING", " x\n"),
    ],
)
def test_output_files_are_read_by_type(content, kind, expected):
    assert parsed(content, kind) == expected


@pytest.mark.parametrize(
    ("content", "kind"),
    [("x", "NUMBER_INTEGER"), ("yes", "BOOLEAN"), ("{", "STRUCT"), ("1.5", "NUMBER_INTEGER")],
)
def test_output_files_of_another_type_are_errors(content, kind):
    with pytest.raises(WrongType):
        parsed(content, kind)


@given(JSON)
def test_normalising_keeps_the_value(value):
    assert normalise(value) == value
    assert normalise(normalise(value)) == normalise(value)
