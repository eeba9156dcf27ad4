"""What happens to model servers, deployments and batch predictions when processes are killed."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

from google.auth import jwt
from google.auth.transport.requests import AuthorizedSession
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from trainwright.local.server import connect

from .conftest import Vertex, until

# Healthy once the file named by GO is there; answers with its process id.
SERVER = """
import json, os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.answer(200 if os.path.exists(os.environ["GO"]) else 503, {})
    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200, {"predictions": [os.getpid() for _ in told["instances"]]})
    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

open(os.environ["GO"] + ".starts", "a").write(f"{os.getpid()}\\n")
ThreadingHTTPServer(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()
"""


class Api:
    """Calls local Vertex's REST API as any HTTP client may."""

    def __init__(self, vertex: Vertex) -> None:
        environment = connect(vertex.state)
        assert environment is not None
        key_file = environment["GOOGLE_APPLICATION_CREDENTIALS"]
        credentials = jwt.Credentials.from_service_account_file(
            key_file, audience="https://aiplatform.googleapis.com/"
        )
        self._session = AuthorizedSession(credentials)
        # As clients of Google do: UNAVAILABLE is asked again.
        retry = Retry(5, backoff_factor=0.2, status_forcelist=[503], allowed_methods=None)
        self._session.mount("http://", HTTPAdapter(max_retries=retry))
        self._base = environment["STORAGE_EMULATOR_HOST"].rpartition("/")[0]

    def __call__(self, verb: str, name: str, content: dict | None = None) -> Any:
        answer = self._session.request(verb, f"{self._base}/v1/{name}", json=content, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def done(self, operation: dict) -> dict:
        """The operation once it is done."""
        found = operation

        def is_done() -> bool:
            found.update(self("GET", operation["name"]))
            return found.get("done", False)

        until(is_done, lambda: json.dumps(found))
        return found


PARENT = "projects/trainwright-local/locations/us-central1"
MACHINE = {"machineSpec": {"machineType": "n1-standard-2"}, "minReplicaCount": 1}


def upload(api: Api, go: str) -> str:
    container = {
        "imageUri": "python:3.11-slim",
        "command": ["python3", "-c", SERVER],
        "env": [{"name": "GO", "value": go}],
    }
    request = {"model": {"displayName": "m", "containerSpec": container}}
    return api("POST", f"{PARENT}/models:upload", request)["response"]["model"]


def deploy(api: Api, model: str) -> tuple[str, dict]:
    endpoint = api("POST", f"{PARENT}/endpoints", {"displayName": "e"})["response"]["name"]
    deployed = {"model": model, "dedicatedResources": MACHINE}
    request = {"deployedModel": deployed, "trafficSplit": {"0": 100}}
    return endpoint, api("POST", f"{endpoint}:deployModel", request)


def predict(api: Api, endpoint: str) -> int:
    return int(api("POST", f"{endpoint}:predict", {"instances": [1]})["predictions"][0])


def test_a_killed_model_server_is_started_again_and_so_after_a_kill_of_local_vertex(
    vertices: Callable[[str], Vertex],
) -> None:
    vertex = vertices("deployed")
    vertex.start()
    api, go = Api(vertex), vertex.marks / "go"
    go.touch()
    endpoint, operation = deploy(api, upload(api, str(go)))
    assert "error" not in api.done(operation)
    first = predict(api, endpoint)
    os.kill(first, signal.SIGKILL)
    second = predict(api, endpoint)
    assert second != first
    vertex.kill()  # waits until nothing that it started is left
    vertex.start()
    api = Api(vertex)
    assert api("GET", endpoint)["trafficSplit"]
    third = predict(api, endpoint)
    assert third not in (first, second)
    assert predict(api, endpoint) == third


def test_a_deployment_and_a_batch_prediction_go_on_after_kill_9(vertices: Callable[[str], Vertex]) -> None:
    vertex = vertices("deploying")
    vertex.start()
    api, go = Api(vertex), vertex.marks / "go"
    starts = go.with_name("go.starts")
    (vertex.state / "storage" / "trainwright-local" / "in.jsonl").write_text("1\n2\n")
    model = upload(api, str(go))
    endpoint, operation = deploy(api, model)
    job = api(
        "POST",
        f"{PARENT}/batchPredictionJobs",
        {
            "displayName": "b",
            "model": model,
            "inputConfig": {
                "instancesFormat": "jsonl",
                "gcsSource": {"uris": ["gs://trainwright-local/in.jsonl"]},
            },
            "outputConfig": {
                "predictionsFormat": "jsonl",
                "gcsDestination": {"outputUriPrefix": "gs://trainwright-local/out"},
            },
        },
    )
    until(lambda: starts.exists() and len(starts.read_text().splitlines()) == 2, vertex.said)
    vertex.kill()
    vertex.start()
    api = Api(vertex)
    assert not api("GET", operation["name"]).get("done")
    assert "deployedModels" not in api("GET", endpoint)
    go.touch()
    assert "error" not in api.done(operation)
    (deployed,) = api("GET", endpoint)["deployedModels"]
    assert api("GET", endpoint)["trafficSplit"] == {deployed["id"]: 100}
    assert predict(api, endpoint)

    def ended() -> bool:
        job.update(api("GET", job["name"]))
        return job["state"] not in ("JOB_STATE_PENDING", "JOB_STATE_RUNNING")

    until(ended, lambda: json.dumps(job))
    assert (job["state"], job["completionStats"]["successfulCount"]) == ("JOB_STATE_SUCCEEDED", "2")
    directory = job["outputInfo"]["gcsOutputDirectory"].removeprefix("gs://")
    results = vertex.state / "storage" / directory / "prediction.results-00000-of-00001"
    assert len(results.read_text().splitlines()) == 2
