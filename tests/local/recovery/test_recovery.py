"""kill -9 of local Vertex AI at random instants: nothing is lost, doubled, stuck or left behind.

    TRAINWRIGHT_KILLS=50 python -m pytest -s tests/local/recovery/test_recovery.py -k random  # make kill-test

TRAINWRIGHT_KILLS says how often (5, with every change), TRAINWRIGHT_SEED at which instants (1). What the
instants hit depends on the machine.
"""

import importlib.util
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

_HERE = Path(__file__).parent
_KILLS = int(os.environ.get("TRAINWRIGHT_KILLS", "5"))
_SEED = int(os.environ.get("TRAINWRIGHT_SEED", "1"))
_KILLS_A_RUN = 5
_PARAMETERS = {"seconds": 0.3, "seconds_of_training": 0.8}


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, _HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


support = _module("conftest")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    return support.compiled(_module("disturbed_pipeline").disturbed, tmp_path)


@pytest.mark.timeout(120 + 20 * _KILLS)
def test_killed_at_random_instants(vertices: Callable, template: Path) -> None:
    calm = vertices("calm")
    calm.start()
    calm.submit(template, "calm", **_PARAMETERS)
    before = time.monotonic()
    assert calm.wait("calm") == "SUCCEEDED", calm.run("calm")
    duration = time.monotonic() - before
    calm.stop()
    wanted = support.outputs(calm.tasks("calm"))
    assert len(calm.lines()) == 14  # each program of a task, and that of the job
    _everything_is_kept(calm)
    chance = random.Random(_SEED)
    summary: dict[str, float] = dict.fromkeys(("kills", "runs", "ended tasks seen", "running tasks seen"), 0)
    longest = 0.0
    vertex = vertices("disturbed")
    while summary["kills"] < _KILLS:
        job_id = f"disturbed-{summary['runs']}"
        summary["runs"] += 1
        vertex.start()
        vertex.submit(template, job_id, **_PARAMETERS)
        pause = chance.uniform(0, duration)
        done: dict[str, int] = {}
        for _ in range(min(_KILLS_A_RUN, _KILLS - summary["kills"])):
            time.sleep(pause)
            longest = max(longest, vertex.kill())
            summary["kills"] += 1
            lines, tasks = vertex.lines(), vertex.tasks(job_id)
            ended = {task["taskId"] for task in tasks.values() if task["state"] in support.TASK_ENDED}
            done |= {name: lines[name] for name in ended & lines.keys() - done.keys()}
            done |= {name: lines[name] for name in _ended_jobs(vertex) & lines.keys() - done.keys()}
            summary["ended tasks seen"] += len(ended)
            summary["running tasks seen"] += sum(t["state"] == "RUNNING" for t in tasks.values())
            vertex.start(wait=False)
            pause = chance.uniform(0.1, duration + 2)  # it takes 1.5 s to be up
        assert vertex.wait(job_id) == "SUCCEEDED", vertex.run(job_id)
        support.until(lambda: support.connect(vertex.state) is not None, vertex.said)
        vertex.stop()
        assert support.outputs(vertex.tasks(job_id)) == wanted
        lines = vertex.lines()
        assert {name: lines[name] for name in done} == done, "a task that had ended was run again"
        assert len(vertex.names("customJob")) == summary["runs"], "a custom job was doubled"
        assert not vertex.processes()
    assert len(vertex.records("artifact")) == summary["runs"] * len(calm.records("artifact"))
    summary["seconds until nothing was left"] = round(longest, 2)
    sys.stdout.write(f"\nkilled at random instants, seed {_SEED}: {json.dumps(summary)}\n")


def _everything_is_kept(vertex) -> None:
    """Log, executor input and output, exit code and times of each task."""
    executors = {path: task for path, task in vertex.tasks("calm").items() if not task["isDag"]}
    for path, task in executors.items():
        assert task["exitCode"] == 0
        assert task["createTime"] <= task["startTime"] <= task["endTime"]
        folder = vertex.state / "storage" / task["folder"].removeprefix("gs://")
        inputs = json.loads((folder / "executor_input.json").read_text())["inputs"]["parameterValues"]
        assert inputs.items() <= task["inputs"]["parameters"].items()
        assert Path(task["logPath"]).exists()
        if path.endswith("mark"):
            result = json.loads((folder / "executor_output.json").read_text())["parameterValues"]["Output"]
            assert result == task["outputs"]["parameters"]["Output"]
    assert executors["exit-handler-1/fail-twice"]["attempts"] == 3


def _ended_jobs(vertex) -> set[str]:
    runs = {
        name.split("/")[-2]: json.loads(row) for name, row in vertex.records("run", "/customJobs/").items()
    }
    return {f"custom-{job}" for job, run in runs.items() if run["endTime"]}


@pytest.mark.timeout(120)
def test_killed_between_a_launchers_job_and_its_note(vertices: Callable, template: Path) -> None:
    vertex = vertices("launched")
    vertex.start()
    vertex.submit(template, "launched", seconds=0.0, seconds_of_training=0.5)
    while not vertex.names("customJob"):
        time.sleep(0.0005)
    vertex.kill()
    vertex.start()
    assert vertex.wait("launched") == "SUCCEEDED", vertex.run("launched")
    assert len(vertex.names("customJob")) == 1
