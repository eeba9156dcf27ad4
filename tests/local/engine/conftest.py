import json
import os
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from trainwright.local.engine import Engine, PipelineRun
from trainwright.local.execution import Executor
from trainwright.local.store import Store

PROJECT = "projects/100000000001/locations/us-central1"


def make_run(spec: dict, job_id: str = "job", **changes) -> PipelineRun:
    given = {
        "name": f"{PROJECT}/pipelineJobs/{job_id}",
        "display_name": "A run",
        "spec": spec,
        "parameters": {},
        "input_artifacts": {},
        "pipeline_root": "gs://bucket/root",
        "project": "my-project",
        "project_number": "100000000001",
        "location": "us-central1",
        "service_account": "robot@my-project.iam.gserviceaccount.com",
        "failure_policy": "FAIL_SLOW",
        "labels": {"team": "churn"},
        "create_time": 1_700_000_000.0,
        "schedule_time": None,
        "network": "",
        "encryption_key": "",
    }
    return PipelineRun(**(given | changes))


def compiled(pipeline) -> dict:
    """The compiled spec of a kfp pipeline, as it is read from the YAML file."""
    from kfp import compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return next(iter(yaml.safe_load_all(path.read_text())))


class Rooms:
    """A state folder with the rooms that run pipelines."""

    def __init__(self, state: Path, **options) -> None:
        self.state = state
        self.storage = state / "storage"
        self.store = Store(state / "store.sqlite")
        self.executor = Executor(state=state, client_environment={}, gcs_root=self.storage, slots=4)
        self.engine = Engine(store=self.store, executor=self.executor, state=state, **options)

    def close(self) -> None:
        self.engine.close()
        self.executor.close()
        self.store.close()

    def run(self, pipeline, job_id: str = "job", **changes) -> "Ended":
        spec = pipeline if isinstance(pipeline, dict) else compiled(pipeline)
        run = make_run(spec, job_id, **changes)
        self.engine.check(run)
        self.engine.start(run)
        return self.wait(run)

    def wait(self, run: PipelineRun) -> "Ended":
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            record = self.store.read(f"{run.name}/run").json()
            if record["endTime"]:
                return Ended(record, self.tasks(run))
            time.sleep(0.01)
        raise AssertionError(f"not ended: {self.tasks(run)}")

    def tasks(self, run: PipelineRun) -> dict[str, dict]:
        records = self.store.list("pipelineTask", f"{run.name}/tasks/")
        return {task["path"]: task for task in (record.json() for record in records)}

    def artifact(self, name: str) -> dict:
        return self.store.read(name).json()


class Ended:
    """The records of a run that has ended."""

    def __init__(self, record: dict, tasks: dict[str, dict]) -> None:
        self.state = record["state"].removeprefix("PIPELINE_STATE_")
        self.error = record["error"]["message"] if record["error"] else ""
        self.outputs = record["outputs"]["parameters"]
        self.artifacts = record["outputs"]["artifacts"]
        self.tasks = tasks
        self.states = {path: task["state"] for path, task in tasks.items()}

    def __repr__(self) -> str:
        return f"{self.state} {self.error} {json.dumps(self.states)}"


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    rooms = Rooms(tmp_path_factory.mktemp("state"))
    yield rooms
    rooms.close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited 30 s"
        time.sleep(0.02)
