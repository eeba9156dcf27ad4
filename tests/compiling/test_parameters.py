import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.compiling.parameters import resolve, resolve_artifacts
from trainwright.compiling.spec import CompiledPipeline, interface
from trainwright.errors import UserError

DEFINITIONS: dict[str, Any] = {
    "parameters": {
        "rows": {"parameterType": "NUMBER_INTEGER"},
        "rate": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 0.1, "isOptional": True},
        "flag": {"parameterType": "BOOLEAN", "isOptional": True},
        "title": {"parameterType": "STRING", "defaultValue": "t", "isOptional": True},
        "names": {"parameterType": "LIST", "isOptional": True},
        "table": {"parameterType": "STRUCT", "isOptional": True},
        "mode": {"parameterType": "STRING", "isOptional": True, "literals": ["fast", "slow"]},
    },
    "artifacts": {"data": {"artifactType": {"schemaTitle": "system.Dataset"}, "isOptional": True}},
}


def _pipeline(definitions: dict[str, Any] = DEFINITIONS) -> CompiledPipeline:
    spec = {"pipelineInfo": {"name": "p"}, "root": {"dag": {}, "inputDefinitions": definitions}}
    return CompiledPipeline(Path("p.yaml"), spec, interface(spec))


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("rows=12", 12),
        ("rows=-3", -3),
        ("rate=0.5", 0.5),
        ("rate=1", 1.0),
        ("rate=1e-3", 0.001),
        ("flag=true", True),
        ("flag=False", False),
        ("title=1", "1"),
        ("title=", ""),
        ("title=a=b", "a=b"),
        ('names=["a", 1]', ["a", 1]),
        ('table={"k": {"n": null}}', {"k": {"n": None}}),
        ("mode=fast", "fast"),
    ],
)
def test_a_text_is_read_as_the_parameters_type(assignment: str, value: object) -> None:
    found = resolve(
        _pipeline(), ["rows=1", assignment] if not assignment.startswith("rows") else [assignment]
    )
    name = assignment.partition("=")[0]
    assert found[name] == value
    assert type(found[name]) is type(value)


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["rows=1.5"], '--param rows: found "1.5", expected an integer (NUMBER_INTEGER)'),
        (["rows=1_000"], '--param rows: found "1_000", expected an integer'),
        (["rows=9007199254740993"], "--param rows: found 9007199254740993, expected at most 2**53"),
        (["rows=1", "rate=nan"], '--param rate: found "nan", expected a number'),
        (["rows=1", "rate=1e999"], "--param rate: found Infinity, expected a number"),
        (["rows=1", "flag=1"], '--param flag: found "1", expected true or false (BOOLEAN)'),
        (["rows=1", "names={}"], "--param names: found {}, expected a JSON list (LIST)"),
        (["rows=1", 'table={"a": 1, "a": 2}'], "--param table: found"),
        (["rows=1", "mode=fats"], "expected one of fast, slow; nearest is 'fast'"),
        (["rows=1", "titel=x"], "--param: unknown parameter 'titel' of p.yaml, nearest is 'title'"),
        (["rows=1", "rows=2"], "--param rows: given twice"),
        (["rows"], "--param rows: expected name=value"),
        ([], "p.yaml: missing required parameter: rows (NUMBER_INTEGER)"),
    ],
)
def test_a_wrong_parameter_is_refused(assignments: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve(_pipeline(), assignments)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"rows": "1"}', 'rows: found "1", expected an integer'),
        ('{"rows": true}', "rows: found true, expected an integer"),
        ('{"rows": 1.0}', "rows: found 1.0, expected an integer"),
        ('{"rows": null}', "rows: found null, expected an integer"),
        ('{"rows": 1, "rate": "0.5"}', 'rate: found "0.5", expected a number'),
        ('{"rows": 1, "rate": true}', "rate: found true, expected a number"),
        ('{"rows": 1, "rate": null}', "rate: found null, expected a number (NUMBER_DOUBLE) (leave it out"),
        ('{"rows": 1, "title": 5}', "title: found 5, expected a string"),
        ('{"rows": 1, "flag": 0}', "flag: found 0, expected true or false"),
        ('{"rows": 1, "rows": 2}', "key 'rows' twice in one object"),
        ('{"rows": NaN}', "not JSON: NaN is no JSON value"),
        ('{"rows": 1,\n}', "not JSON at line 2"),
        ("[1]", "found [1], expected a JSON object"),
        ("", "not JSON at line 1"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_wrong_value_in_a_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "params.json"
    file.write_text(text)
    with pytest.raises(UserError) as raised:
        resolve(_pipeline(), [], file)
    assert message in str(raised.value)
    assert str(file) in str(raised.value)


def test_the_settings_give_values_that_the_file_and_the_command_line_win_over(tmp_path: Path) -> None:
    settings = {"rows": 1, "rate": 0.5, "title": "s", "flag": True}
    file = tmp_path / "params.json"
    file.write_text('{"rate": 2, "flag": null}')
    assert resolve(_pipeline(), ["rows=7"], file, settings, "toml") == {"rows": 7, "rate": 2, "title": "s"}
    assert resolve(_pipeline(), settings=settings) == settings
    with pytest.raises(UserError, match=r'toml\.rows: found "1", expected an integer'):
        resolve(_pipeline(), settings={"rows": "1"}, settings_name="toml")
    with pytest.raises(UserError, match=r"toml: unknown parameter 'rwos' of p\.yaml, nearest is 'rows'"):
        resolve(_pipeline(), settings={"rwos": 1}, settings_name="toml")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        resolve(_pipeline(), [], tmp_path / "none.json")


def test_the_command_line_wins_over_the_file_and_null_leaves_an_optional_one_out(tmp_path: Path) -> None:
    file = tmp_path / "params.json"
    file.write_text('{"rows": 1, "rate": 2, "flag": null}')
    assert resolve(_pipeline(), ["rows=7"], file) == {"rows": 7, "rate": 2}


@given(
    st.dictionaries(st.text(min_size=1), st.integers() | st.text() | st.booleans() | st.none(), max_size=4)
)
def test_any_json_object_of_the_right_type_comes_through_as_it_is(value: dict[str, Any]) -> None:
    assert resolve(_pipeline(), ["rows=1", f"table={json.dumps(value)}"])["table"] == value


def test_input_artifacts_are_given_by_id() -> None:
    pipeline = _pipeline()
    assert resolve_artifacts(pipeline, ["data=42"]) == {"data": "42"}
    assert resolve_artifacts(pipeline, []) == {}
    with pytest.raises(UserError, match=r"unknown input artifact of p\.yaml, nearest is 'data'"):
        resolve_artifacts(pipeline, ["dat=1"])
    required = {"artifacts": {"data": {"artifactType": {"schemaTitle": "system.Dataset"}}}}
    with pytest.raises(
        UserError, match=r"missing input artifact: data \(system.Dataset; --artifact data=ID\)"
    ):
        resolve_artifacts(_pipeline(required), [])
