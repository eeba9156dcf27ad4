"""The ways to call Vertex AI: gRPC, REST and asynchronous gRPC, in v1 and v1beta1, by Google's clients."""

import asyncio
import contextlib
import importlib
import os
import uuid

import google.auth
import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1

TRANSPORTS = ("grpc", "rest", "grpc_asyncio")


class Caller:
    """Calls methods by name over one transport: `call.get_model("ModelService", name=…)`.

    An answer is the message itself; of a list, the first page; of an operation, the operation's client.
    """

    def __init__(self, transport, version="v1"):
        self.transport = transport
        self.module = importlib.import_module(f"google.cloud.aiplatform_{version}")
        self.loop = asyncio.new_event_loop()
        self.clients = {}

    def client(self, service):
        if service not in self.clients:
            is_async = self.transport == "grpc_asyncio"
            kind = getattr(self.module, f"{service}{'Async' if is_async else ''}Client")
            endpoint = f"{os.environ['GOOGLE_CLOUD_LOCATION']}-aiplatform.googleapis.com"
            options = {"api_endpoint": endpoint}
            if is_async:  # its channel belongs to the event loop

                async def make():
                    return kind(client_options=options)

                self.clients[service] = self.loop.run_until_complete(make())
            else:
                self.clients[service] = kind(transport=self.transport, client_options=options)
        return self.clients[service]

    def __call__(self, service, method, timeout=60, **request):
        return self.wait(getattr(self.client(service), method)(request, timeout=timeout))

    def wait(self, answer):
        if not asyncio.iscoroutine(answer):
            return answer

        async def within():  # api_core's futures want a running loop
            return await answer

        return self.loop.run_until_complete(within())

    def result(self, operation):
        """What a long-running operation comes to."""
        return self.wait(operation.result(timeout=120))

    @contextlib.contextmanager
    def refuses(self, status):
        """Expects an error of this google.rpc.Code, and gives what `pytest.raises` gives.

        REST clients know the HTTP status alone, which several codes share: there, the body must say it.
        """
        with pytest.raises(exceptions.GoogleAPICallError) as refused:
            yield refused
        error = refused.value
        if self.transport == "rest":
            assert error.response.json()["error"]["status"] == status, error
        else:
            assert error.grpc_status_code.name == status, error

    def close(self):
        if self.transport == "grpc_asyncio":
            for client in self.clients.values():
                self.loop.run_until_complete(client.transport.close())
        self.loop.close()


@pytest.fixture(scope="session", params=TRANSPORTS)
def call(request):
    caller = Caller(request.param)
    yield caller
    caller.close()


@pytest.fixture(scope="session")
def grpc():
    caller = Caller("grpc")
    yield caller
    caller.close()


@pytest.fixture(scope="session", params=("grpc", "rest"))
def beta(request):
    caller = Caller(request.param, "v1beta1")
    yield caller
    caller.close()


@pytest.fixture(scope="session")
def project():
    return os.environ["GOOGLE_CLOUD_PROJECT"]


@pytest.fixture(scope="session")
def location():
    return os.environ["GOOGLE_CLOUD_LOCATION"]


@pytest.fixture(scope="session")
def parent(project, location):
    return f"projects/{project}/locations/{location}"


@pytest.fixture(scope="session")
def bucket():
    return os.environ["VERTEX_FIDELITY_BUCKET"]


@pytest.fixture(scope="session")
def number(project):
    """The project's number, as Resource Manager says it."""
    from google.cloud import resourcemanager_v3

    return resourcemanager_v3.ProjectsClient().get_project(name=f"projects/{project}").name.split("/")[1]


@pytest.fixture
def unique():
    """A name that no other run of this test has."""
    return f"fidelity-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def model(grpc, parent, unique):
    """A model with one label; deleted at the end."""
    spec = {"image_uri": "us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-5:latest"}
    request = {"display_name": unique, "container_spec": spec, "labels": {"suite": unique}}
    name = grpc.result(grpc("ModelService", "upload_model", parent=parent, model=request)).model
    yield name
    grpc.result(grpc("ModelService", "delete_model", name=name))


def pipeline_spec(sleep=False):
    """A pipeline that imports an artifact, which needs no machine, or that waits until it is cancelled."""
    step = {"componentRef": {"name": "comp-step"}, "taskInfo": {"name": "step"}}
    artifact = {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}
    component = {"executorLabel": "exec-step"}
    if sleep:
        command = ["sh", "-c", "sleep 300"]
        executor = {"container": {"image": "python:3.11-slim", "command": command}}
    else:
        component |= {
            "inputDefinitions": {"parameters": {"uri": {"parameterType": "STRING"}}},
            "outputDefinitions": {"artifacts": {"artifact": artifact}},
        }
        step["inputs"] = {"parameters": {"uri": {"runtimeValue": {"constant": "gs://fidelity/imported"}}}}
        artifact_uri = {"constant": "gs://fidelity/imported"}
        executor = {
            "importer": {
                "artifactUri": artifact_uri,
                "typeSchema": artifact["artifactType"],
                "reimport": False,
            }
        }
    return {
        "pipelineInfo": {"name": "fidelity"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "root": {"dag": {"tasks": {"step": step}}},
        "components": {"comp-step": component},
        "deploymentSpec": {"executors": {"exec-step": executor}},
    }


@pytest.fixture
def pipeline_job(bucket, unique):
    """The request of a run that needs no machine."""
    return {
        "display_name": unique,
        "labels": {"suite": unique},
        "pipeline_spec": pipeline_spec(),
        "runtime_config": {"gcs_output_directory": f"gs://{bucket}/fidelity"},
    }


@pytest.fixture
def waiting_job(pipeline_job):
    """The request of a run that goes on until it is cancelled."""
    return pipeline_job | {"pipeline_spec": pipeline_spec(sleep=True)}


@pytest.fixture
def ended(grpc):
    """Waits for the end of a pipeline job and returns it."""
    import time

    def wait(name, seconds=120):
        deadline = time.monotonic() + seconds
        while True:
            job = grpc("PipelineService", "get_pipeline_job", name=name)
            if job.state.name.endswith(("SUCCEEDED", "FAILED", "CANCELLED")):
                return job
            assert time.monotonic() < deadline, f"{name} is {job.state.name}"
            time.sleep(0.1)

    return wait


@pytest.fixture(scope="session")
def credentials():
    return google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])[0]


def pytest_report_header():
    return f"aiplatform {aiplatform_v1.__version__}, {os.environ.get('VERTEX_FIDELITY', 'local')}"
