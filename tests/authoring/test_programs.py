"""A program travels as text and runs as that text, in a process that knows no other copy of it."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from kfp import compiler, dsl

from trainwright.authoring.programs import MAX_CHARACTERS, Program
from trainwright.components.training.custom import XGBOOST_TABULAR

MAIN = """\
import os, signal, sys, time
from ..shared import GREETING

def leave(number, frame):
    sys.exit(7)

signal.signal(signal.SIGTERM, leave)
print(GREETING, sys.argv[1:], __name__, flush=True)
if "wait" in sys.argv:
    time.sleep(60)
"""


@pytest.fixture
def program(tmp_path) -> Program:
    files = {
        "jobs/__init__.py": "",
        "jobs/shared.py": "GREETING = 'größe \"$0\" `x` \\\\n'\n",
        "jobs/fit/__init__.py": "",
        "jobs/fit/__main__.py": MAIN,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return Program("jobs.fit", tmp_path, ("jobs/__init__.py", "jobs/shared.py", "jobs/fit"))


def words(spec: dict) -> list[str]:
    return [*spec["command"], *spec["args"]]


def test_it_runs_from_its_text_alone(program, tmp_path):
    spec = program.container_spec(["--name=it's", "--", "x"])
    for path in tmp_path.rglob("*.py"):
        path.unlink()
    done = subprocess.run(words(spec), cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout == "größe \"$0\" `x` \\n [\"--name=it's\", '--', 'x'] __main__\n"


def test_a_signal_reaches_the_program_and_its_status_comes_back(program):
    process = subprocess.Popen(words(program.container_spec(["wait"])), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 7


def test_sources_are_readable_and_the_same_in_any_order(program):
    spec = program.container_spec()
    assert any(word == f"# source of jobs/fit/__main__.py\n{MAIN}" for word in spec["command"])
    assert all(spec["command"]), "the official launcher would drop an empty word"
    turned = Program(program.module, program.root, tuple(reversed(program.files)))
    assert turned.container_spec() == spec
    assert turned.fingerprint == program.fingerprint
    (program.root / "jobs/shared.py").write_text("GREETING = 2\n")
    assert turned.fingerprint != Program("jobs.fit", program.root, (), ()).fingerprint


def test_what_cannot_travel_is_refused(program):
    with pytest.raises(ValueError, match="no file or folder 'jobs/other'"):
        Program("jobs.fit", program.root, ("jobs/other",)).container_spec()
    with pytest.raises(ValueError, match="holds a quote"):
        Program("jobs.fit", program.root, ("jobs",), ("a'b",)).container_spec()
    (program.root / "jobs/shared.py").write_text("NAME = '{{$.pipeline_job_name}}'\n")
    with pytest.raises(ValueError, match=r"jobs/shared.py holds '\{\{\$'"):
        program.container_spec()
    (program.root / "jobs/shared.py").write_text("#" * MAX_CHARACTERS)
    with pytest.raises(ValueError, match="takes at most 100,000"):
        program.container_spec()


def test_pipeline_parameters_stay_placeholders(program, tmp_path):
    @dsl.container_component
    def launch(specs: list):
        return dsl.ContainerSpec(image="python", command=["echo"], args=[specs])

    @dsl.pipeline(name="one")
    def pipeline(depth: int = 3):
        launch(specs=[{"container_spec": program.container_spec([f"--depth={depth}", depth])}])

    compiler.Compiler().compile(pipeline, str(tmp_path / "pipeline.json"))
    compiled = json.loads((tmp_path / "pipeline.json").read_text())
    inputs = compiled["root"]["dag"]["tasks"]["launch"]["inputs"]["parameters"]
    spec = inputs["specs"]["runtimeValue"]["constant"][0]["container_spec"]
    placeholder = "{{$.inputs.parameters['pipelinechannel--depth']}}"
    assert spec["args"] == [f"--depth={placeholder}", placeholder]
    assert inputs["pipelinechannel--depth"] == {"componentInputParameter": "depth"}


def test_our_trainer_runs_from_its_text_alone(tmp_path):
    """Without the installation line, which needs a registry: the packages are in this environment."""
    spec = XGBOOST_TABULAR.container_spec(["--train=/nowhere", "--validation=x", "--transform=/none.json"])
    assert spec["command"][:2] == ["sh", "-ec"]
    assert "'xgboost-cpu==3.2.0'" in spec["command"][2]
    environment = {**os.environ, "AIP_MODEL_DIR": str(tmp_path), "PYTHONPATH": ""}
    python = Path(os.sys.executable)  # type: ignore[attr-defined]
    done = subprocess.run(
        [python, *spec["command"][4:], *spec["args"]],
        cwd="/", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout) == {"severity": "ERROR", "message": "/none.json: no such file"}


def test_time_is_not_part_of_it(program):
    before = program.container_spec()
    time.sleep(0.01)
    os.utime(program.root / "jobs/shared.py")
    assert program.container_spec() == before
