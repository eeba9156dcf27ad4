import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainwright.compiling.spec import NO_DEFAULT, read_pipeline
from trainwright.errors import UserError

SPEC: dict[str, Any] = {
    "components": {"comp-a": {"executorLabel": "exec-a"}},
    "deploymentSpec": {"executors": {"exec-a": {"container": {"image": "python:3.11-slim"}}}},
    "pipelineInfo": {"name": "p", "description": "Says hello."},
    "root": {
        "dag": {"tasks": {"a": {"componentRef": {"name": "comp-a"}}}},
        "inputDefinitions": {"parameters": {"x": {"parameterType": "STRING"}}},
        "outputDefinitions": {"artifacts": {"m": {"artifactType": {"schemaTitle": "system.Metrics"}}}},
    },
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.17.0",
}


def _write(folder: Path, *documents: object, name: str = "p.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.dump_all(documents))
    return path


def _kubernetes(settings: dict[str, Any]) -> dict[str, Any]:
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-a": settings}}}}}


def test_yaml_and_json_give_the_same_interface(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(SPEC))
    for path in (_write(tmp_path, SPEC), tmp_path / "p.json"):
        found = read_pipeline(path).interface
        assert (found.name, found.description) == ("p", "Says hello.")
        assert found.parameters["x"].required
        assert found.parameters["x"].default is NO_DEFAULT
        assert found.output_artifacts["m"].schema == "system.Metrics"


def test_a_pipeline_job_gives_its_spec_and_the_values_that_it_has(tmp_path: Path) -> None:
    job = {"pipelineSpec": SPEC, "runtimeConfig": {"parameterValues": {"x": "1"}}}
    found = read_pipeline(_write(tmp_path, job))
    assert (found.interface.name, found.given) == ("p", {"x"})


@pytest.mark.parametrize(
    "second",
    [
        None,
        {},
        {"platforms": {"kubernetes": {}}},
        _kubernetes({"tolerations": [{"key": "gpu"}], "imagePullPolicy": "Always"}),
        _kubernetes({"secretAsEnv": [{"optional": True}], "pvcMount": []}),
        {"platforms": {"kubernetes": {"pipelineConfig": {"resourceTtlOnCompletion": 60}}}},
        {"platforms": {"kubernetes": {"pipelineConfig": {"pipelineRunParallelism": 7}}}},
        {"platforms": {"kubernetes": {"pipelineConfig": {"workspace": {"size": "1Gi"}}}}},
    ],
)
def test_a_second_document_is_accepted_if_no_task_needs_it(tmp_path: Path, second: object) -> None:
    assert read_pipeline(_write(tmp_path, SPEC, second)).documents == 2


def test_what_is_left_out_of_a_second_document_is_said(tmp_path: Path) -> None:
    (note,) = read_pipeline(
        _write(tmp_path, SPEC, _kubernetes({"tolerations": [1], "nodeSelector": {"a": 1}}))
    ).notes
    assert "left out" in note
    assert "nodeSelector, tolerations" in note


@pytest.mark.parametrize(
    ("second", "name"),
    [
        (_kubernetes({"pvcMount": [{"mountPath": "/data"}]}), "pvcMount"),
        (_kubernetes({"secretAsEnv": [{"optional": True}, {"optional": False}]}), "secretAsEnv"),
        (_kubernetes({"someNewSetting": {"a": 1}}), "someNewSetting"),
        (
            {"platforms": {"kubernetes": {"pipelineConfig": {"activeDeadlineSeconds": 60}}}},
            "platforms.kubernetes.pipelineConfig.activeDeadlineSeconds: only Kubernetes",
        ),
        (
            _kubernetes({"podMetadata": {"labels": {"a": "b"}}}),
            "platforms.kubernetes.deploymentSpec.executors.exec-a.podMetadata: only Kubernetes",
        ),
        (SPEC, "second YAML document"),
    ],
)
def test_a_second_document_that_is_needed_is_refused_by_name(
    tmp_path: Path, second: object, name: str
) -> None:
    path = _write(tmp_path, SPEC, second)
    with pytest.raises(UserError) as raised:
        read_pipeline(path)
    assert str(path) in str(raised.value)
    assert name in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("a: [1", "not YAML at line"),
        ("- a", "holds a list"),
        ("a: 1", "no 'pipelineInfo' in it"),
        ("name: x\nimplementation: {container: {}}", "a KFP 1 component"),
        ("kind: Workflow", "an Argo workflow"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
        (yaml.dump(SPEC | {"schemaVersion": "3.0.0"}), "schemaVersion 3.0.0, expected"),
        (yaml.dump(SPEC | {"pipelineInfo": {}}), "no pipelineInfo.name"),
        (yaml.dump(SPEC | {"root": {}}), "no root.dag"),
        (yaml.dump({"pipelineSpec": SPEC}), "a PipelineJob without runtimeConfig"),
    ],
)
def test_what_is_no_compiled_pipeline_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        read_pipeline(path)
    assert str(path) in str(raised.value)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for path, message in (
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "binary.yaml", "not UTF-8"),
    ):
        with pytest.raises(UserError, match=message):
            read_pipeline(path)
