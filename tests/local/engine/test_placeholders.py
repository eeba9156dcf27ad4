import json
from pathlib import Path

import pytest

from trainwright.local.engine.placeholders import Command, PlaceholderError, resolved

NAMES = {"pipeline_job_name": "job", "pipeline_google_cloud_location": "us-central1"}
INPUT = {
    "inputs": {
        "parameterValues": {"x": 3, "text": 'say "hi"'},
        "artifacts": {
            "model": {"artifacts": [{"name": "n", "uri": "gs://b/m", "metadata": {"k": "v"}}]},
            "none": {"artifacts": []},
        },
    },
    "outputs": {
        "parameters": {"p": {"outputFile": "/out/p"}},
        "artifacts": {"data": {"artifacts": [{"name": "d", "uri": "gs://b/d", "metadata": {}}]}},
        "outputFile": "/out/executor_output.json",
    },
}
X = "{{$.inputs.parameters['x']}}"
COMMAND = Command(
    INPUT,
    {"x": 3, "text": 'say "hi"', "list": [1, 2], "flag": True, "unset": None},
    NAMES,
    Path("/storage"),
    Path("/state/work/job/workspace"),
)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--x={{$.inputs.parameters['x']}}", ["--x=3"]),
        ("{{$.inputs.parameters[\"list\"]}} {{$.inputs.parameters['flag']}}", ["[1, 2] true"]),
        ("{{$.inputs.parameters['unset']}}", [""]),
        ("{{$.inputs.parameters['text'].json_escape[1]}}", ['say \\"hi\\"']),
        (
            "{{$.inputs.artifacts['model'].uri}} {{$.inputs.artifacts['model'].path}}",
            ["gs://b/m /storage/b/m"],
        ),
        ("{{$.inputs.artifacts['model'].metadata['k']}}", ["v"]),
        ("{{$.inputs.artifacts['model'].metadata['z']}}", ["{{$.inputs.artifacts['model'].metadata['z']}}"]),
        ("{{$.outputs.artifacts['data'].path}}", ["/storage/b/d"]),
        ("{{$.outputs.parameters['p'].output_file}}", ["/out/p"]),
        ("{{$.outputs.output_file}}", ["/out/executor_output.json"]),
        ("{{$.pipeline_job_name}}-{{$.pipeline_google_cloud_location}}", ["job-us-central1"]),
        (
            f'{{"Concat": ["a=", "{X}", {{"IfPresent": {{"InputName": "unset", "Then": "!"}}}}]}}',
            ["a=3"],
        ),
        (
            f'{{"IfPresent": {{"InputName": "x", "Then": ["--x", "{X}"], "Else": ["-"]}}}}',
            ["--x", "3"],
        ),
        ('{"IfPresent": {"InputName": "unset", "Then": ["--x"]}}', []),
        ('{"IfPresent": {"InputName": "none", "Then": ["a"], "Else": ["b"]}}', ["b"]),
        ('{"IfPresent": {"InputName": "model", "Then": {"Concat": ["a", "b"]}}}', ["ab"]),
        (
            "x = {{$.inputs.parameters['x']}}\ny = {{$.inputs.parameters['y']}}",
            [f"x = 3\ny = {X.replace('x', 'y')}"],
        ),
        ("{{ jinja }} {{$user}} {{$.template.name}}", ["{{ jinja }} {{$user}} {{$.template.name}}"]),
    ],
)
def test_commands(argument, expected):
    assert COMMAND.rendered([argument]) == tuple(expected)


def test_the_executor_input_stands_for_itself_also_inside_json():
    assert json.loads(COMMAND.text("{{$}}")) == INPUT
    nested = COMMAND.text('{"args": ["--executor_input={{$.json_escape[1]}}"]}')
    assert json.loads(json.loads(nested)["args"][0].removeprefix("--executor_input=")) == INPUT


@pytest.mark.parametrize(
    "argument",
    [
        "{{$.inputs.parameters['y']}}",
        "{{$.inputs.artifacts['none'].uri}}",
        "{{$.pipeline_job_nam}}",
        "{{$.inputs.artifacts['model'].color}}",
        "{{$.workspace_path}}",
    ],
)
def test_a_placeholder_that_stands_for_nothing_is_an_error(argument):
    with pytest.raises(PlaceholderError):
        COMMAND.text(argument)


def test_constants_are_resolved_at_any_depth_and_only_once():
    siblings = {"name": "{{$.pipeline_job_name}}", "n": 7.0}
    value = {
        "k-{{$.pipeline_job_name}}": ["{{$.inputs.parameters['name']}}", "{{$.inputs.parameters['n']}}!", 5]
    }
    assert resolved(value, NAMES, siblings.__getitem__) == {"k-job": ["{{$.pipeline_job_name}}", "7!", 5]}
