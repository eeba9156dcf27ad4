"""Custom jobs of several replicas as Google's unmodified SDK creates, watches and cancels them."""

import json
import os
import subprocess
import sys

import pytest

from trainwright.local.server import LocalVertex

# The trainer of all replicas: workers send their numbers to the chief, which tells each the sum.
TRAINER = """
import json, os, socket, sys, time
spec = json.loads(os.environ["CLUSTER_SPEC"])
task, workers = spec["task"], spec["cluster"].get("workerpool1", [])
host, port = spec["cluster"]["workerpool0"][0].split(":")
note = open(f"/gcs/trainwright-local/{sys.argv[1]}-{task['type']}-{task['index']}", "a")
print(os.getpid(), file=note, flush=True)
assert json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"] == workers
if task["type"] == "workerpool0":
    server = socket.create_server((host, int(port)))
    streams = [server.accept()[0].makefile("rw") for _ in workers]
    total = sum(int(stream.readline()) for stream in streams)
    for stream in streams:
        print(total, file=stream, flush=True)
    print("the sum is", total)
else:
    deadline = time.monotonic() + 60
    while True:
        try:
            stream = socket.create_connection((host, int(port))).makefile("rw")
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the chief never came up"
            time.sleep(0.02)
    if sys.argv[2] == "wait":
        time.sleep(300)
    print(task["index"] + 10, file=stream, flush=True)
    print("told", stream.readline())
"""
PROGRAM = """
import json, os, signal, sys, time
from google.api_core import exceptions
from google.cloud import aiplatform, storage

trainer = sys.argv[1]
bucket = storage.Client().bucket("trainwright-local")
aiplatform.init(project="any-project", location="us-central1", staging_bucket="gs://trainwright-local")
seen = {}

def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, (job.state, job.error)
        time.sleep(0.05)

def create(name, behaviour="go", workers=2):
    container = {
        "image_uri": "python:3.11-slim",
        "command": ["python3", "-c", trainer],
        "args": [name, behaviour],
    }
    pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "container_spec": container}
    pools = [{**pool, "replica_count": 1}, {**pool, "replica_count": workers}]
    return aiplatform.CustomJob(display_name=name, worker_pool_specs=pools)

def pids(name, replica):
    blob = bucket.blob(f"{name}-{replica}")
    return [int(line) for line in blob.download_as_text().split()] if blob.exists() else []

job = create("talk")
job.submit()
until(lambda: job.done())
seen["talk"] = [job.resource_name, job.state.name]

job = create("killed", "wait")
job.submit(restart_job_on_worker_restart=True)
until(lambda: pids("killed", "workerpool0-0") and pids("killed", "workerpool1-1"))
os.kill(pids("killed", "workerpool1-1")[0], signal.SIGKILL)
until(lambda: all(len(pids("killed", replica)) == 2 for replica in ("workerpool0-0", "workerpool1-0")))
seen["killed"] = [job.resource_name, job.state.name]
job.cancel()
until(lambda: job.done())
seen["cancelled"] = job.state.name

try:
    create("refused", workers=0).submit()
except exceptions.InvalidArgument as error:
    seen["refused"] = error.message
print("=", json.dumps(seen))
"""


@pytest.fixture
def vertex(tmp_path):
    with LocalVertex(tmp_path / "state") as vertex:
        yield vertex


def test_the_sdk_runs_a_job_of_several_replicas(vertex: LocalVertex) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, TRAINER],
        env={**os.environ, **vertex.environment()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout.rpartition("\n= ")[2])

    def log(job: str, replica: str) -> str:
        return (vertex.state / "logs" / "customJobs" / job.rpartition("/")[2] / f"{replica}.log").read_text()

    talk, state = seen["talk"]
    assert state == "JOB_STATE_SUCCEEDED"
    assert log(talk, "workerpool0-0") == "the sum is 21\n"
    assert log(talk, "workerpool1-1") == "told 21\n\n"
    killed, state = seen["killed"]
    assert state == "JOB_STATE_RUNNING"
    assert "workerpool1-1 ended with -9; all replicas start again" in log(killed, "workerpool0-0")
    assert seen["cancelled"] == "JOB_STATE_CANCELLED"
    assert seen["refused"] == (
        "workerPoolSpecs[1].replicaCount: 0; expected 1 or more, or {} to skip the pool"
    )
