"""kill -9 of local Vertex AI in the middle of a job of several replicas."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

_HERE = Path(__file__).parent

_CREATE = """
import os, sys
from pathlib import Path
from trainwright.local.server import connect
os.environ.update(connect(Path(sys.argv[1])))  # before anything imports Google's clients
from google.cloud import aiplatform
pool = {
    "machine_spec": {"machine_type": "n1-standard-4"},
    "container_spec": {"image_uri": "python:3.11-slim", "command": ["python3", "-c", *sys.argv[2:]]},
}
pools = [{**pool, "replica_count": count} for count in (1, 2)]
aiplatform.CustomJob(
    display_name="train", worker_pool_specs=pools, staging_bucket="gs://trainwright-local",
    project="trainwright-local", location="us-central1",
).submit()
"""
# Each replica ends by itself only when all have begun a second time.
_TRAIN = """
import json, os, pathlib, sys, time
task = json.loads(os.environ["CLUSTER_SPEC"])["task"]
marks = pathlib.Path(sys.argv[1])
with open(marks / f"{task['type']}-{task['index']}", "a") as file:
    file.write(f"{os.getpid()}\\n")
deadline = time.monotonic() + 120
while time.monotonic() < deadline:
    begun = [len(path.read_text().splitlines()) for path in marks.iterdir()]
    if begun == [2, 2, 2]:
        sys.exit(0)
    time.sleep(0.05)
sys.exit(1)
"""


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, _HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


support = _module("conftest")


@pytest.mark.timeout(120)
def test_killed_in_the_middle_of_a_job_of_several_replicas(vertices: Callable) -> None:
    vertex = vertices("replicas")
    vertex.start()
    command = [sys.executable, "-c", _CREATE, str(vertex.state), _TRAIN, str(vertex.marks)]
    subprocess.run(command, check=True, capture_output=True)
    support.until(lambda: len(vertex.lines()) == 3, vertex.said)
    vertex.kill()  # waits until no process is left
    assert set(vertex.lines().values()) == {1}
    vertex.start()
    (run,) = vertex.names("run")
    support.until(lambda: "JOB_STATE_SUCCEEDED" in vertex.records("run")[run], vertex.said, seconds=60)
    assert vertex.lines() == dict.fromkeys(("workerpool0-0", "workerpool1-0", "workerpool1-1"), 2)
    assert len(vertex.names("customJob")) == 1
    logs = vertex.state / "logs" / "customJobs"
    assert sorted(path.stem for path in logs.glob("*/*.log")) == sorted(vertex.lines())
    assert not [words for words in vertex.processes().values() if "CLUSTER_SPEC" in words]
