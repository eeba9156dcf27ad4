"""A small local Vertex AI around the real wire: jobs and models in a store, enough for real clients."""

import os
import subprocess
import sys
import textwrap
import threading
from types import SimpleNamespace

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1 as v1
from google.cloud import resourcemanager_v3
from google.longrunning import operations_pb2
from google.rpc import error_details_pb2

from trainwright.local.store import Store
from trainwright.local.wire import Wire

PARENT = "projects/trainwright-local/locations/us-central1"


class Jobs:
    """Custom jobs that run until a test says otherwise."""

    def __init__(self, store):
        self.store = store
        self.contexts = []
        self.reads = 0
        self.read = threading.Event()

    def create_custom_job(self, request, context):
        self.contexts.append(context)
        job = v1.CustomJob(request.custom_job, name=f"{request.parent}/customJobs/{len(self.contexts)}")
        job.state = v1.JobState.JOB_STATE_RUNNING
        self.store.write(job.name, "customJob", v1.CustomJob.serialize(job))
        return job

    def get_custom_job(self, request, context):
        self.reads += 1
        self.read.set()
        record = self.store.read(request.name)
        if record is None:
            violation = error_details_pb2.ResourceInfo(resource_name=request.name)
            raise exceptions.NotFound(f"CustomJob {request.name} is not found", details=[violation])
        return v1.CustomJob.deserialize(record.payload)

    def list_custom_jobs(self, request, context):
        jobs = [v1.CustomJob.deserialize(record.payload) for record in self.store.list("customJob")]
        return v1.ListCustomJobsResponse(custom_jobs=jobs[: request.page_size or None])

    def cancel_custom_job(self, request, context):
        self.end(request.name, v1.JobState.JOB_STATE_CANCELLED)

    def delete_custom_job(self, request, context):
        raise RuntimeError("the disk is on fire")

    def end(self, name, state=v1.JobState.JOB_STATE_SUCCEEDED):
        job = v1.CustomJob.deserialize(self.store.read(name).payload)
        job.state = state
        self.store.write(name, "customJob", v1.CustomJob.serialize(job))


class Models:
    """Models whose upload is an operation: done at once, or when a test says so."""

    def __init__(self, store):
        self.store = store

    def upload_model(self, request, context):
        name = f"{request.parent}/models/1"
        self.store.write(name, "model", v1.Model.serialize(v1.Model(request.model, name=name)))
        operation = operations_pb2.Operation(name=f"{name}/operations/7")
        if request.model.display_name != "slow":
            _finish(operation, v1.UploadModelResponse(model=name, model_version_id="1"))
        self.store.write(operation.name, "operation", operation.SerializeToString())
        return operation

    def get_model(self, request, context):
        return v1.Model.deserialize(self.store.read(request.name.split("@")[0]).payload)

    def update_model(self, request, context):
        model = self.get_model(SimpleNamespace(name=request.model.name), context)
        for path in request.update_mask.paths:
            setattr(model, path, getattr(request.model, path))
        self.store.write(model.name, "model", v1.Model.serialize(model))
        return model


class Operations:
    def __init__(self, store):
        self.store = store

    def get_operation(self, request, context):
        record = self.store.read(request.name)
        if record is None:
            raise exceptions.NotFound(f"{request.name} is not found")
        return operations_pb2.Operation.FromString(record.payload)

    def end(self, name):
        operation = self.get_operation(SimpleNamespace(name=name), None)
        _finish(operation, v1.UploadModelResponse(model=name.partition("/operations/")[0]))
        self.store.write(name, "operation", operation.SerializeToString())


class Projects:
    def get_project(self, request, context):
        return resourcemanager_v3.Project(name="projects/100000000001", project_id="trainwright-local")


def _finish(operation, response):
    operation.done = True
    operation.response.Pack(type(response).pb(response))


async def storage_app(scope, receive, send):
    """Answers what it was told about the request."""
    body = f"{scope['scheme']} {scope['path']} {scope.get('state', {}).get('authenticated', False)}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def make_wire(folder, **options):
    store = Store(folder / "store.sqlite")
    services = {
        "JobService": Jobs(store),
        "ModelService": Models(store),
        "Operations": Operations(store),
        "Projects": Projects(),
    }
    wire = Wire(
        state=folder,
        services=services,
        storage_app=storage_app,
        bigquery_app=storage_app,
        store=store,
        project="trainwright-local",
        location="us-central1",
        token="token-of-the-test",
        **options,
    )
    return SimpleNamespace(wire=wire, store=store, folder=folder, **services)


@pytest.fixture
def other_vertex(tmp_path):
    """Makes further ones, not started; they are stopped at the end."""
    made = []

    def make(**options):
        folder = tmp_path / f"state-{len(made)}"
        folder.mkdir()
        made.append(make_wire(folder, **options))
        return made[-1]

    yield make
    for vertex in made:
        vertex.wire.stop()
        vertex.store.close()


@pytest.fixture(scope="session")
def vertex(tmp_path_factory):
    """A served local Vertex AI, shared by the tests of this room."""
    vertex = make_wire(tmp_path_factory.mktemp("state"))
    vertex.wire.start()
    yield vertex
    vertex.wire.stop()
    vertex.store.close()


def client_process(environment, program, *arguments):
    """A Python process that is a client, with nothing of this process's environment but what finds Python."""
    base = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"def show(*values): print('=', *values)\n{textwrap.dedent(program)}",
            *arguments,
        ],
        env=base | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def start_client():
    """Starts a program as a client of the environment that it is given."""
    return client_process


@pytest.fixture
def client(vertex):
    """Runs a program as a client to its end and returns the lines that it showed (the SDK prints, too)."""

    def run(program, *arguments, **environment):
        process = client_process(vertex.wire.environment() | environment, program, *arguments)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        return [line[2:] for line in output.splitlines() if line.startswith("= ")]

    return run
