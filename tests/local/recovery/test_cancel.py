"""Cancelling through the SDK reaches every process; other runs and other state folders do not notice."""

import importlib.util
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from kfp import dsl

_HERE = Path(__file__).parent


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, _HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


support = _module("conftest")
pytestmark = pytest.mark.timeout(180)

_CANCEL = """
import os, sys
from pathlib import Path
from trainwright.local.server import connect
os.environ.update(connect(Path(sys.argv[1])))
from google.cloud import aiplatform
aiplatform.PipelineJob.get(sys.argv[2], project="trainwright-local", location="us-central1").cancel()
"""


def _cancel(vertex, job_id: str) -> None:
    subprocess.run([sys.executable, "-c", _CANCEL, vertex.state, job_id], check=True, capture_output=True)


@dsl.component(base_image="python:3.11-slim")
def hang(folder: str, task: str):
    """Has a child in its own group, and an orphan in a session of its own."""
    import subprocess
    from pathlib import Path

    subprocess.run(["sh", "-c", "setsid sleep 3711 & sleep 3711 &"])
    Path(folder, task).write_text("hanging")
    subprocess.run(["sleep", "3711"])


def _hanging(vertex) -> list[str]:
    return [words for words in vertex.processes().values() if words.startswith(("sleep\0", "python3\0"))]


def test_cancel_reaches_grandchildren_and_the_custom_job(vertices: Callable, tmp_path: Path) -> None:
    disturbed = _module("disturbed_pipeline")

    @dsl.pipeline(name="hanging")
    def hanging(folder: str, seconds: float):
        done = disturbed.add(folder=folder, task="done", numbers=[1, 2])
        hang(folder=folder, task=dsl.PIPELINE_TASK_ID_PLACEHOLDER).after(done)
        never = disturbed.add(folder=folder, task="never", numbers=[1]).after(done)
        never.set_retry(1)
        disturbed.disturbed(folder=folder, seconds=0.0, seconds_of_training=seconds)

    template = support.compiled(hanging, tmp_path)
    vertex = vertices("hanging")
    vertex.start()
    vertex.submit(template, "to-cancel", seconds=3711.0)
    vertex.submit(template, "untouched", seconds=3711.0)
    is_training = lambda: sum(name.startswith("custom-") for name in vertex.lines()) == 2  # noqa: E731
    support.until(
        lambda: is_training() and len(_hanging(vertex)) == 8, lambda: str(vertex.processes()), seconds=90
    )
    _cancel(vertex, "to-cancel")
    assert vertex.wait("to-cancel") == "CANCELLED"
    states = {path: task["state"] for path, task in vertex.tasks("to-cancel").items()}
    assert (states["add"], states["hang"], states["disturbed"]) == ("SUCCEEDED", "CANCELLED", "CANCELLED")
    jobs = vertex.records("run", "/customJobs/")
    support.until(
        lambda: (
            sorted(json.loads(run)["state"] for run in vertex.records("run", "/customJobs/").values())
            == ["JOB_STATE_CANCELLED", "JOB_STATE_RUNNING"]
        ),
        lambda: str(jobs),
    )
    assert len(_hanging(vertex)) == 4, "those of the other run"
    assert vertex.run("untouched")["state"] == "PIPELINE_STATE_RUNNING"


def test_cancel_while_an_environment_is_made(vertices: Callable, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a package index that never answers
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"

        @dsl.component(
            base_image="python:3.11-slim", packages_to_install=["slow-thing"], pip_index_urls=[index]
        )
        def need(folder: str):
            pass

        @dsl.pipeline(name="needing")
        def needing(folder: str):
            need(folder=folder)

        vertex = vertices("needing")
        vertex.start()
        vertex.submit(support.compiled(needing, tmp_path), "needing")
        silent.accept()
        _cancel(vertex, "needing")
        assert vertex.wait("needing") == "CANCELLED"
        assert vertex.tasks("needing")["need"]["state"] == "CANCELLED"
        assert not [path for path in (vertex.state / "environments").iterdir() if path.is_dir()]


def test_a_second_process_is_told_who_serves_the_folder(vertices: Callable) -> None:
    vertex = vertices("served")
    vertex.start()
    process = json.loads((vertex.state / "server.json").read_text())["pid"]
    second = subprocess.run(
        [sys.executable, "-m", "trainwright.local.server", "--state", vertex.state],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert second.stderr == f"error: {vertex.state}: process {process} serves this state folder\n"
