"""A spot job of several replicas that is preempted by command, wherever local Vertex runs, and its logs."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .test_local_runs import Shell

# The chief ends well once it has been preempted; workers wait.
PIPELINE = """
from google_cloud_pipeline_components.v1.custom_job import CustomTrainingJobOp
from kfp import dsl

TRAINER = '''
import json, os, pathlib, signal, sys, time
task = json.loads(os.environ["CLUSTER_SPEC"])["task"]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
mark = pathlib.Path(sys.argv[1], f"{task['type']}-{task['index']}")
again = mark.exists()
mark.touch()
print(mark.name, "again" if again else "first", flush=True)
time.sleep(0 if again and task["type"] == "workerpool0" else 300)
'''

@dsl.pipeline(name="spot-training")
def spot_training(marks: str):
    pool = {
        "machine_spec": {"machine_type": "n1-standard-4"},
        "container_spec": {
            "image_uri": "python:3.11-slim", "command": ["python3", "-c", TRAINER], "args": [marks]
        },
    }
    pools = [{**pool, "replica_count": count} for count in (1, 2)]
    CustomTrainingJobOp(display_name="train", worker_pool_specs=pools, strategy="SPOT")
"""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    (tmp_path / "mine.py").write_text(PIPELINE)
    assert shell("compile", "mine.py").returncode == 0
    yield shell
    shell("local", "down")


def test_a_spot_job_is_preempted_inside_another_command(shell: Shell, tmp_path: Path) -> None:
    nothing = shell("local", "preempt", "77")
    assert nothing.returncode == 2 and "local Vertex is down" in nothing.stderr

    marks = tmp_path / "marks"
    marks.mkdir()
    run = shell.start("run", "spot_training", "--param", f"marks={marks}", "--json")
    logs = shell.state / "logs" / "customJobs"
    _until(lambda: len(list(marks.iterdir())) == 3 and len(list(logs.glob("*/*.log"))) == 3)
    (job,) = [folder.name for folder in logs.iterdir()]
    no_job, no_replica, preempted = shell.several(
        ("local", "preempt", "77"),
        ("local", "preempt", job, "--replica", "workerpool1-7"),
        ("local", "preempt", job, "--replica", "chief"),
    )
    assert no_job[::2] == (2, f"error: job 77: no custom job '77'; running: {job}\n")
    names = "workerpool0-0, workerpool1-0, workerpool1-1"
    said = f"error: job {job}: no replica 'workerpool1-7'; expected one of {names}\n"
    assert no_replica[::2] == (2, said)
    assert preempted == (0, f"job {job}: chief preempted\n", "")
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    found = json.loads(out)
    assert found["state"] == "PIPELINE_STATE_SUCCEEDED"

    shown = shell("runs", "logs", found["name"].rpartition("/")[2], "custom-training-job")
    assert shown.returncode == 0, shown.stderr
    blocks = {block.partition(":")[0]: block for block in shown.stdout.split("==> ")[1:]}
    assert list(blocks)[-3:] == [f"custom-training-job workerpool{each}" for each in ("0-0", "1-0", "1-1")]
    assert "workerpool0-0 first" in blocks["custom-training-job workerpool0-0"]
    assert "workerpool0-0 again" in blocks["custom-training-job workerpool0-0"]
    assert "preemption 1: SIGTERM now" in blocks["custom-training-job workerpool0-0"]
    assert "workerpool1-1 first" in blocks["custom-training-job workerpool1-1"]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "never"
        time.sleep(0.05)
