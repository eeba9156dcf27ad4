"""Upstream's compiled pipelines, as they are, through the front door: what `make conformance` runs.

The cases stand outside this repository, in ../shared/conformance, or where TRAINWRIGHT_CONFORMANCE says.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

_COMMAND = Path(__file__).resolve().parents[2] / "benchmarks" / "conformance.py"
sys.path.insert(0, str(_COMMAND.parent))
try:
    from conformance import default_folder, read_cases
finally:
    sys.path.pop(0)

_FOLDER = default_folder()
_CASES = read_cases(_FOLDER)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(_COMMAND), "--json", *arguments], capture_output=True, text=True, timeout=280
    )


@pytest.fixture(scope="module")
def results() -> dict[str, dict]:
    run = _run(str(_FOLDER))
    assert run.stdout, run.stderr
    return {result["case"]: result for result in json.loads(run.stdout)}


@pytest.mark.skipif(not _CASES, reason=f"no conformance cases in {_FOLDER}")
@pytest.mark.parametrize("case", [case["id"] for case in _CASES])
def test_upstream_pipeline(case: str, results: dict[str, dict]) -> None:
    assert results[case]["expected"], results[case]


_NAMES = "critical/pipeline_with_placeholders"


@pytest.mark.skipif(_NAMES not in {case["id"] for case in _CASES}, reason=f"no conformance case {_NAMES}")
def test_vertex_names_a_run_otherwise_than_open_source_kfp() -> None:
    """The pipeline asserts that the job's resource name begins with the pipeline's, not with projects/."""
    run = _run(str(_FOLDER), "--dialect", "vertex", "--only", _NAMES)
    (result,) = json.loads(run.stdout)
    assert (run.returncode, result["result"], result["expected"]) == (1, "failed", False)
    assert "AssertionError" in result["reason"]


LEAF = {
    "executorLabel": "exec-a",
    "outputDefinitions": {"parameters": {"out": {"parameterType": "STRING"}}},
}
COMMAND = ["sh", "-c", 'echo "$1"; printf a > "$0"', "{{$.outputs.parameters['out'].output_file}}"]
PIPELINE = {
    "pipelineInfo": {"name": "own"},
    "schemaVersion": "2.1.0",
    "deploymentSpec": {"executors": {"exec-a": {"container": {"image": "alpine", "command": COMMAND}}}},
    "components": {"comp-a": LEAF},
    "root": {
        "dag": {
            "tasks": {"a": {"componentRef": {"name": "comp-a"}}},
            "outputs": {
                "parameters": {
                    "Output": {"valueFromParameter": {"producerSubtask": "a", "outputParameterKey": "out"}}
                }
            },
        },
        "inputDefinitions": {
            "artifacts": {"data": {"artifactType": {"schemaTitle": "system.Dataset"}, "isOptional": True}}
        },
        "outputDefinitions": {"parameters": {"Output": {"parameterType": "STRING"}}},
    },
}


def test_the_table_tells_right_from_wrong_and_from_nothing(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "own.yaml").write_text(json.dumps(PIPELINE))
    volume = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-a": {"pvcMount": [{}]}}}}}}
    (tmp_path / "pipelines" / "volume.yaml").write_text(yaml.dump_all([PIPELINE, volume]))
    (tmp_path / "pipelines" / "broken.yaml").write_text("root: [")
    artifact = {"data": {"__artifact__": "system.Dataset", "text": "x"}}
    cases = [
        {"id": "own", "args": artifact, "expect": "succeeded", "output": "a"},
        {"id": "volume", "args": {}, "expect": "refused"},
        {"id": "broken", "args": {}, "expect": "refused"},
    ]
    for case in (
        {"expect": "succeeded", "output": "b", "id": "own"},
        {"expect": "failed", "id": "own"},
        {"expect": "succeeded", "id": "volume"},
    ):
        link = f"{case['id']}-{case['expect']}-{case.get('output', '')}"
        (tmp_path / "pipelines" / f"{link}.yaml").symlink_to(f"{case['id']}.yaml")
        cases.append({**case, "args": {}, "id": link})
    (tmp_path / "cases.yaml").write_text(yaml.dump(cases))
    run = _run(str(tmp_path))
    assert run.returncode == 1
    found = [(result["case"], result["result"], result["expected"]) for result in json.loads(run.stdout)]
    assert found == [
        ("own", "passed", True),
        ("volume", "refused", True),
        ("broken", "refused", False),  # the reason names no field
        ("own-succeeded-b", "failed", False),
        ("own-failed-", "failed", False),
        ("volume-succeeded-", "refused", False),
    ]
    nothing = _run(str(tmp_path), "--only", "no such case")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "nothing was checked" in nothing.stderr
