"""Endpoints as Google's unmodified SDK uses them, with model servers that really run, over gRPC and REST."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainwright.local.server import LocalVertex

SERVER = Path(__file__).with_name("model_server.py").read_text()

PROGRAM = """
import asyncio, json, sys
from google.api_core import exceptions
from google.cloud import aiplatform
from google.cloud import aiplatform_v1 as v1

transport, server = sys.argv[1:]
aiplatform.init(project="any-project", location="us-central1", api_transport=transport)
shown = {}

def show(**values):
    shown.update(values)

def upload(who, command=("python3", "-c", server)):
    return aiplatform.Model.upload(
        display_name=f"model of {who}",
        serving_container_image_uri="python:3.11-slim",
        serving_container_command=[*command],
        serving_container_environment_variables={"WHO": who},
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
    )

def refused(call, *values, **named):
    try:
        call(*values, **named)
    except exceptions.GoogleAPICallError as error:
        return [error.code, error.message.rpartition("int: ")[2]]
    return "not refused"

ann, ben = upload("ann"), upload("ben")
endpoint = aiplatform.Endpoint.create(display_name="one", labels={"team": "a"}, endpoint_id=f"{transport}-1")
no_traffic = refused(endpoint.predict, [1])
machine = {"machine_type": "n1-standard-2", "min_replica_count": 1}
endpoint.deploy(ann, deployed_model_display_name="first", **machine)
answer = endpoint.predict([1, 2.5], parameters={"factor": 3})
(deployed,) = endpoint.list_models()
references = aiplatform.Model(ann.resource_name).gca_resource.deployed_models
show(
    no_traffic=no_traffic,
    found=[e.name for e in aiplatform.Endpoint.list(filter=f'labels.team=a AND display_name="one"')],
    products=[prediction["product"] for prediction in answer.predictions],
    deployed=[answer.deployed_model_id == deployed.id, answer.model_version_id, deployed.display_name],
    model=answer.model_resource_name == ann.resource_name,
    referred=[[r.endpoint == endpoint.resource_name, r.deployed_model_id == deployed.id] for r in references],
)
if transport == "grpc":
    show(later=asyncio.run(endpoint.predict_async([4])).predictions[0]["product"])

# Bodies as they are.
reply = endpoint.raw_predict(b"hello", {"Content-Type": "text/plain"})
headers = {name: reply.headers[f"X-Vertex-AI-{name}"] for name in ("Endpoint-Id", "Deployed-Model-Id")}
show(raw=[reply.status_code, reply.text, reply.headers["Content-Type"]], headers=headers == {
    "Endpoint-Id": endpoint.name, "Deployed-Model-Id": deployed.id,
})
by_raw = endpoint.predict([5], use_raw_predict=True) if hasattr(endpoint, "predict") else None
show(by_raw=[by_raw.predictions[0]["product"], by_raw.deployed_model_id == deployed.id])
client = v1.PredictionServiceClient(client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"})
body = {"content_type": "text/plain", "data": b"abc"}
show(raw_grpc=client.raw_predict(endpoint=endpoint.resource_name, http_body=body).data.decode())

# What goes wrong, and what comes after it.
network = "projects/1/global/networks/n"
failing = upload("nobody", ["python3", "-c", "raise SystemExit('no model')"])
unknown = aiplatform.Model.upload(display_name="m", serving_container_image_uri="acme/serve")
show(
    bad=refused(endpoint.predict, ["bad"]),
    odd=refused(endpoint.predict, ["odd"])[0],
    ended=refused(endpoint.predict, ["end"])[0],
    again=endpoint.predict([1]).predictions[0]["product"],
    large=refused(endpoint.predict, ["x" * 1_600_000])[0],
    explain=refused(endpoint.explain, [1])[0],
    deployed_model=refused(ann.delete)[0],
    private=refused(aiplatform.PrivateEndpoint.create, display_name="p", network=network)[0],
    dedicated=refused(aiplatform.Endpoint.create, display_name="d", dedicated_endpoint_enabled=True)[0],
    model_that_ends=refused(endpoint.deploy, failing, **machine),
    unknown_image=refused(endpoint.deploy, unknown, **machine)[0],
)

# Two models share the traffic, until one of them is gone.
endpoint.deploy(ben, traffic_percentage=50, **machine)
split = endpoint.traffic_split
by = {endpoint.predict([1]).predictions[0]["by"] for _ in range(40)}
endpoints = v1.EndpointServiceClient(client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"})
undeploy = endpoints.undeploy_model
show(
    split=sorted(split.values()),
    by=sorted(by),
    has_traffic=refused(undeploy, endpoint=endpoint.resource_name, deployed_model_id=deployed.id)[0],
    bad_split=refused(endpoint.update, traffic_split={deployed.id: 60})[0],
)
endpoint.update(traffic_split={deployed.id: 100}, display_name="renamed")
changed = endpoints.mutate_deployed_model(
    endpoint=endpoint.resource_name,
    deployed_model={"id": deployed.id, "dedicated_resources": {"max_replica_count": 3}},
    update_mask={"paths": ["dedicated_resources.max_replica_count"]},
).result().deployed_model
show(
    only={endpoint.predict([1]).predictions[0]["by"] for _ in range(10)} == {"ann"},
    mutated=[changed.dedicated_resources.max_replica_count, changed.dedicated_resources.min_replica_count],
    renamed=aiplatform.Endpoint(endpoint.resource_name).display_name,
)
endpoint.undeploy(*(other for other in split if other != deployed.id))
still = refused(endpoint.delete)[0]
endpoint.undeploy(deployed.id)
show(left=list(endpoint.traffic_split.values()), still=still)
endpoint.delete()
show(gone=refused(endpoint.predict, [1])[0])
ann.delete()
print("=", json.dumps(shown))
"""


@pytest.fixture(scope="module")
def vertex(tmp_path_factory):
    with LocalVertex(tmp_path_factory.mktemp("vertex")) as vertex:
        yield vertex


@pytest.fixture(scope="module")
def shown(vertex):
    """What the program showed, by transport; both at once."""
    environment = os.environ | vertex.environment()
    processes = {
        transport: subprocess.Popen(
            [sys.executable, "-c", PROGRAM, transport, SERVER],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for transport in ("grpc", "rest")
    }
    found = {}
    for transport, process in processes.items():
        output, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        (line,) = (line for line in output.splitlines() if line.startswith("= "))
        found[transport] = json.loads(line[2:])
    return found


@pytest.fixture(params=["grpc", "rest"])
def of(request, shown):
    return shown[request.param]


def test_a_deployed_model_predicts(of):
    assert of["products"] == [3, 7.5]
    assert of["deployed"] == [True, "1", "first"]
    assert of["model"]
    assert of["referred"] == [[True, True]]
    assert len(of["found"]) >= 1
    assert of.get("later", 8) == 8


def test_bodies_go_through_as_they_are_with_headers_that_name_the_model(of):
    assert of["raw"] == [200, "olleh", "text/reversed"]
    assert of["headers"]
    assert of["by_raw"] == [10, True]
    assert of["raw_grpc"] == "cba"


def test_errors_of_the_model_server_reach_the_caller_and_a_dead_one_is_started_again(of):
    assert of["bad"] == [400, "bad is no number"]
    assert (of["odd"], of["ended"], of["again"]) == (500, 503, 2)
    assert (of["large"], of["explain"]) == (400, 501)


def test_what_cannot_be_is_refused(of):
    assert of["no_traffic"][0] == 400
    assert "no traffic" in of["no_traffic"][1]
    assert (of["private"], of["dedicated"], of["deployed_model"], of["unknown_image"]) == (501, 501, 400, 400)
    assert of["model_that_ends"][0] == 400
    assert "no model" in of["model_that_ends"][1]
    assert (of["has_traffic"], of["bad_split"], of["still"]) == (400, 400, 400)


def test_traffic_is_shared_out_and_given_back(of):
    assert (of["split"], of["by"]) == ([50, 50], ["ann", "ben"])
    assert of["only"]
    assert (of["mutated"], of["renamed"]) == ([3, 1], "renamed")
    assert (of["left"], of["gone"]) == ([], 404)
