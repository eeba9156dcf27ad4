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


def test_cancel_reaches_grandchildren_and_the_custom_job(vertices: Callable, tmp_path: Path) -> None:
    disturbed = _module("disturbed_pipeline")

    @dsl.pipeline(name="hanging")
    def hanging(folder: str, seconds: float):
        done = disturbed.add(folder=folder, task="done", numbers=[1, 2])
        hang(folder=folder, task="hang").after(done)
        disturbed.train(folder=folder, seconds=seconds)

    @dsl.pipeline(name="other")
    def other(folder: str):
        disturbed.add(folder=folder, task="other", numbers=[1, 2])

    def hangs() -> list[str]:
        ours = [words for words in vertex.processes().values() if words.startswith(("sleep", "python3"))]
        return sorted(words.partition("\0")[0] for words in ours)

    vertex = vertices("hanging")
    vertex.start()
    vertex.submit(support.compiled(hanging, tmp_path), "hanging", seconds=3711.0)
    wanted = ["python3", "sleep", "sleep", "sleep"]
    support.until(lambda: hangs() == wanted, lambda: str(vertex.processes()), seconds=90)
    vertex.submit(support.compiled(other, tmp_path), "other")  # where there are two processors, it waits
    _cancel(vertex, "hanging")
    assert vertex.wait("hanging") == "CANCELLED"
    states = {path: task["state"] for path, task in vertex.tasks("hanging").items()}
    job = "custom-training-job"
    assert states == {"": "CANCELLED", "add": "SUCCEEDED", "hang": "CANCELLED", job: "CANCELLED"}
    support.until(lambda: hangs() == [], lambda: str(vertex.processes()))

    def job_states() -> list[str]:
        return [json.loads(run)["state"] for run in vertex.records("run", "/customJobs/").values()]

    support.until(lambda: job_states() == ["JOB_STATE_CANCELLED"], lambda: str(job_states()))
    assert vertex.wait("other") == "SUCCEEDED"


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

        def made() -> list[Path]:
            return [path for path in (vertex.state / "environments").iterdir() if path.is_dir()]

        support.until(lambda: not made(), lambda: str(made()))


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
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert f"{vertex.state}: in use by process {process}" in second.stderr
