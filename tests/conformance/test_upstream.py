"""Upstream's compiled pipelines, as they are, through store, executor and engine.

The cases stand outside this repository, in ../shared/conformance, or where TRAINWRIGHT_CONFORMANCE says.
"""

import json
import os
import time
from pathlib import Path

import pytest
import yaml

from trainwright.local.engine import Engine, PipelineRun, check_platforms
from trainwright.local.execution import Executor
from trainwright.local.store import Store

_FOLDER = Path(
    os.environ.get("TRAINWRIGHT_CONFORMANCE")
    or Path(__file__).resolve().parents[2].parent / "shared" / "conformance"
)
_CASES = yaml.safe_load((_FOLDER / "cases.yaml").read_text()) if (_FOLDER / "cases.yaml").exists() else []
# It asserts that the job's resource name begins with the pipeline's, as a run's name of open-source KFP does.
_OPEN_SOURCE_NAMES = {"critical/pipeline_with_placeholders"}
_OPEN_SOURCE = pytest.mark.xfail(strict=True, reason="on Vertex AI the resource name is projects/…")
_LIMIT = 240.0
_STORE = "projects/100000000001/locations/us-central1/metadataStores/default"


class Rooms:
    """A state folder with the rooms that run pipelines."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.store = Store(state / "store.sqlite")
        # What a user says of an image that is not known: any shell that has jq will do for this one.
        images = {"jetbrainsinfra/jq": "host"}
        self.executor = Executor(
            state=state, client_environment={}, gcs_root=state / "storage", images=images
        )
        self.engine = Engine(store=self.store, executor=self.executor, state=state)

    def close(self) -> None:
        self.engine.close()
        self.executor.close()
        self.store.close()

    def artifact(self, number: str, schema_title: str, text: str) -> str:
        path = self.state / "storage" / "inputs" / number
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        name = f"{_STORE}/artifacts/{number}"
        content = {
            "name": name,
            "displayName": number,
            "uri": f"gs://inputs/{number}",
            "schemaTitle": schema_title,
            "schemaVersion": "0.0.1",
            "metadata": {},
            "state": "LIVE",
            "createTime": time.time(),
        }
        self.store.write(name, "artifact", json.dumps(content).encode())
        return name

    def wait(self, run: PipelineRun) -> dict:
        deadline = time.monotonic() + _LIMIT
        while time.monotonic() < deadline:
            record = self.store.read(f"{run.name}/run").json()
            if record["endTime"]:
                return record
            time.sleep(0.02)
        self.engine.cancel(run.name)
        pytest.fail(f"not ended after {_LIMIT} s: {self.tasks(run)}")

    def tasks(self, run: PipelineRun) -> dict[str, str]:
        records = self.store.list("pipelineTask", f"{run.name}/tasks/")
        return {task["path"]: task["state"] for task in (record.json() for record in records)}


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    rooms = Rooms(tmp_path_factory.mktemp("conformance"))
    yield rooms
    rooms.close()


def _arguments(case: dict, rooms: Rooms, work: Path) -> tuple[dict, dict]:
    parameters, artifacts = {}, {}
    for name, value in case["args"].items():
        if isinstance(value, dict) and "__artifact__" in value:
            text = next((str(item) for key, item in value.items() if key != "__artifact__"), "")
            number = str(len(rooms.store.list("artifact")) + 1)
            artifacts[name] = rooms.artifact(number, value["__artifact__"], text)
        else:
            parameters[name] = json.loads(json.dumps(value).replace("@WORK@", str(work)))
    return parameters, artifacts


def _run(case: dict, rooms: Rooms, work: Path, spec: dict) -> PipelineRun:
    parameters, artifacts = _arguments(case, rooms, work)
    job_id = case["id"].replace("/", "-").replace("_", "-").lower()
    return PipelineRun(
        name=f"projects/100000000001/locations/us-central1/pipelineJobs/{job_id}",
        display_name=job_id,
        spec=spec,
        parameters=parameters,
        input_artifacts=artifacts,
        pipeline_root="gs://trainwright-local/pipeline_root",
        project="trainwright-local",
        project_number="100000000001",
        location="us-central1",
        service_account="100000000001-compute@developer.gserviceaccount.com",
        failure_policy="FAIL_SLOW",
        labels={},
        create_time=time.time(),
        schedule_time=None,
        network="",
        encryption_key="",
    )


def _parameters() -> list:
    return [
        pytest.param(case, id=case["id"], marks=[_OPEN_SOURCE] if case["id"] in _OPEN_SOURCE_NAMES else [])
        for case in _CASES
    ]


@pytest.mark.skipif(not _CASES, reason=f"no conformance cases in {_FOLDER}")
@pytest.mark.parametrize("case", _parameters())
def test_upstream_pipeline(case, rooms, tmp_path):
    documents = list(yaml.safe_load_all((_FOLDER / "pipelines" / f"{case['id']}.yaml").read_text()))
    run = _run(case, rooms, tmp_path, documents[0])
    if case["expect"] == "refused":
        with pytest.raises(ValueError, match=r"platforms\.|deploymentSpec\."):
            rooms.engine.check(run)
            check_platforms(documents[1])
        return
    rooms.engine.check(run)
    for platforms in documents[1:]:
        check_platforms(platforms)
    rooms.engine.start(run)
    record = rooms.wait(run)
    found = (record["state"], record["error"], rooms.tasks(run))
    assert record["state"] == f"PIPELINE_STATE_{case['expect'].upper()}", found
    if "output" in case:
        assert record["outputs"]["parameters"]["Output"] == case["output"]
