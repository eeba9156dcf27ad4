"""Google Cloud Pipeline Components' calls are held until there is an end to report; others are not."""

import time

import pytest
from google.cloud import aiplatform_v1 as v1

PARENT = "projects/trainwright-local/locations/us-central1"

_GET = """
import sys
from google.api_core import exceptions, gapic_v1
from google.cloud import aiplatform_v1 as v1
name, agent, transport, timeout = sys.argv[1:]
client = v1.JobServiceClient(
    client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"},
    client_info=gapic_v1.client_info.ClientInfo(user_agent=agent),
    transport=transport,
)
try:
    show(client.get_custom_job(name=name, timeout=float(timeout) or None, retry=None).state.name)
except exceptions.GoogleAPICallError as error:
    show(type(error).__name__, error.message)
"""


def _new_job(vertex):
    vertex.JobService.read.clear()
    job = v1.CustomJob(display_name="fit")
    request = v1.CreateCustomJobRequest(parent=PARENT, custom_job=job)
    return vertex.JobService.create_custom_job(request, None).name


def _shown(process):
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return [line[2:] for line in output.splitlines() if line.startswith("= ")]


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_launchers_get_is_held_until_the_job_ends_and_nobody_elses_is(vertex, start_client, transport):
    name = _new_job(vertex)
    environment = vertex.wire.environment()
    launcher = start_client(environment, _GET, name, "google-cloud-pipeline-components", transport, "0")
    assert vertex.JobService.read.wait(60)
    someone = start_client(environment, _GET, name, "someone", transport, "0")
    assert _shown(someone) == ["JOB_STATE_RUNNING"]
    if transport == "grpc":  # a hold ends before the client's own deadline would make an error of it
        hurried = start_client(environment, _GET, name, "google-cloud-pipeline-components", transport, "1.5")
        assert _shown(hurried) == ["JOB_STATE_RUNNING"]
    vertex.store.write(f"{name}/run", "run", b"{}")  # no end yet
    assert launcher.poll() is None
    vertex.JobService.end(name)
    assert _shown(launcher) == ["JOB_STATE_SUCCEEDED"]


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_client_that_gives_up_releases_the_hold(vertex, start_client, transport):
    name = _new_job(vertex)
    environment = vertex.wire.environment()
    launcher = start_client(environment, _GET, name, "google-cloud-pipeline-components", transport, "0")
    assert vertex.JobService.read.wait(60)
    launcher.kill()
    launcher.communicate()
    assert _is_let_go(vertex, name)


def _is_let_go(vertex, name):
    """Whether commits of the job soon cause no further reads of it."""
    for _ in range(100):
        before = vertex.JobService.reads
        vertex.store.write(f"{name}/run", "run", b"{}")
        time.sleep(0.1)
        if vertex.JobService.reads == before:
            return True
    return False


def test_a_held_upload_is_answered_when_its_operation_is_done_and_wait_has_a_timeout(vertex, start_client):
    program = """
    import sys, google.auth
    from google.auth.transport.requests import AuthorizedSession
    session = AuthorizedSession(google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])[0])
    host = "https://us-central1-aiplatform.googleapis.com"
    models = host + "/v1/projects/trainwright-local/locations/us-central1/models"
    body = {"model": {"displayName": "slow"}}
    operation = session.post(models + ":upload", json=body).json()
    show(operation == session.post(f"{host}/ui/{operation['name']}:wait", json={"timeout": "0.1s"}).json())
    agent = {"User-Agent": "google-cloud-pipeline-components"}
    answer = session.post(models + ":upload", json=body, headers=agent).json()
    show(answer["done"], answer["response"])
    """
    name = f"{PARENT}/models/1/operations/7"
    vertex.store.delete(name)
    process = start_client(vertex.wire.environment(), program)
    while (record := vertex.store.read(name)) is None or record.version < 2:  # the second upload is held
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    vertex.Operations.end(name)
    response = {
        "@type": "type.googleapis.com/google.cloud.aiplatform.v1.UploadModelResponse",
        "model": f"{PARENT}/models/1",
    }
    assert _shown(process) == ["True", f"True {response}"]


def test_held_calls_end_as_unavailable_when_the_server_stops(other_vertex, start_client):
    vertex = other_vertex()
    vertex.wire.start()
    name = _new_job(vertex)
    clients = [
        start_client(
            vertex.wire.environment(), _GET, name, "google-cloud-pipeline-components", transport, "0"
        )
        for transport in ("grpc", "rest")
    ]
    while vertex.JobService.reads < 2 * len(clients):  # one of the client, one when the hold begins
        assert all(client.poll() is None for client in clients)
        time.sleep(0.01)
    vertex.wire.stop()
    for client in clients:
        (line,) = _shown(client)
        assert line.startswith("ServiceUnavailable") and "local Vertex AI is stopping" in line
