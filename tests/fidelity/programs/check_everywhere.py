"""What all of Google's APIs have: operations, locations, projects, credentials, errors that say why."""

import json
import os
import time
from pathlib import Path

import grpc as grpc_library
import pytest
import requests
from google.api_core import exceptions
from google.auth import crypt, jwt
from google.auth.transport.requests import AuthorizedSession
from google.cloud import aiplatform_v1, resourcemanager_v3
from google.iam.v1 import iam_policy_pb2
from google.longrunning import operations_pb2


@pytest.fixture
def endpoint(location):
    return f"{location}-aiplatform.googleapis.com"


def test_locations(call, project, location, number):
    client = call.client("PipelineService")
    found = call.wait(client.list_locations({"name": f"projects/{project}", "page_size": 100}))
    assert location in [each.location_id for each in found.locations]
    one = call.wait(client.get_location({"name": f"projects/{project}/locations/{location}"}))
    assert one.location_id == location
    with call.refuses("NOT_FOUND"):
        call.wait(client.get_location({"name": f"projects/{project}/locations/mars-west1"}))


def test_operations_can_be_asked_for_later(call, parent, unique):
    spec = {"image_uri": "us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-5:latest"}
    model = {"display_name": unique, "container_spec": spec}
    upload = call("ModelService", "upload_model", parent=parent, model=model)
    name = call.result(upload).model
    client = call.client("ModelService")
    operation = call.wait(client.get_operation({"name": upload.operation.name}))
    assert operation.done and operation.response.type_url.endswith("UploadModelResponse")
    assert operation.metadata.type_url.endswith("UploadModelOperationMetadata")
    waited = call.wait(client.wait_operation({"name": upload.operation.name}))
    if isinstance(waited, bytes):  # the generated gRPC transports parse no answer of this method
        waited = operations_pb2.Operation.FromString(waited)
    assert waited.done
    listed = call.wait(client.list_operations({"name": name}))
    assert upload.operation.name in [each.name for each in listed.operations]
    call.wait(client.cancel_operation({"name": upload.operation.name}))
    call.wait(client.delete_operation({"name": upload.operation.name}))
    with call.refuses("NOT_FOUND"):
        call.wait(client.get_operation({"name": upload.operation.name}))
    call.result(call("ModelService", "delete_model", name=name))


def test_a_name_that_is_none_is_refused(call):
    if call.transport != "rest":  # whose client refuses it itself
        with call.refuses("INVALID_ARGUMENT"):
            call("ModelService", "list_models", parent="projects/only")


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_resource_manager(project, number, transport):
    client = resourcemanager_v3.ProjectsClient(transport=transport)
    assert client.get_project(name=f"projects/{project}").project_id == project
    assert client.get_project(name=f"projects/{number}").name == f"projects/{number}"
    found = [each.name for each in client.search_projects(query=f"id:{project}")]
    assert found == [f"projects/{number}"]
    wanted = ["aiplatform.pipelineJobs.create", "storage.objects.get"]
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=f"projects/{project}", permissions=wanted)
    assert set(client.test_iam_permissions(request).permissions) <= set(wanted)
    with pytest.raises(exceptions.InvalidArgument if transport == "grpc" else exceptions.BadRequest):
        client.list_projects(parent="galaxies/1")


@pytest.mark.parametrize("token", ["", "Bearer ya29.not-a-token", "Bearer a.b.c", "Basic dXNlcjpwYXNz"])
def test_strangers_are_unauthenticated_by_rest(endpoint, parent, token):
    headers = {"authorization": token} if token else {}
    answer = requests.get(f"https://{endpoint}/v1/{parent}/customJobs", headers=headers, timeout=30)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (401, 401, "UNAUTHENTICATED")
    assert [each["domain"] for each in error["details"] if each["@type"].endswith("ErrorInfo")] == [
        "googleapis.com"
    ]
    assert ("CREDENTIALS_MISSING" in answer.text) == (not token.startswith("Bearer"))


@pytest.fixture(scope="module")
def expired(location):
    """A token that the right key has signed, for a time that is over."""
    path = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
    info = json.loads(Path(path).read_text()) if path else {}
    if info.get("type") != "service_account":
        pytest.skip("the credentials are no service account's key")
    email, begun = info["client_email"], int(time.time()) - 7200
    audience = f"https://{location}-aiplatform.googleapis.com/"
    claims = {"iss": email, "sub": email, "aud": audience, "iat": begun, "exp": begun + 3600}
    return jwt.encode(crypt.RSASigner.from_service_account_info(info), claims).decode()


def test_an_expired_token_is_refused_everywhere(endpoint, parent, expired):
    headers = {"authorization": f"Bearer {expired}"}
    for url in (
        f"https://{endpoint}/v1/{parent}/models",
        f"https://{endpoint}/v1beta1/{parent}/models",
        "https://storage.googleapis.com/storage/v1/b?project=x",
        "https://cloudresourcemanager.googleapis.com/v3/projects/x",
    ):
        assert requests.get(url, headers=headers, timeout=30).status_code == 401, url
    with grpc_library.secure_channel(endpoint, grpc_library.ssl_channel_credentials()) as channel:
        ask = channel.unary_unary("/google.cloud.aiplatform.v1.ModelService/ListModels")
        payload = aiplatform_v1.ListModelsRequest.serialize(aiplatform_v1.ListModelsRequest(parent=parent))
        with pytest.raises(grpc_library.RpcError) as refused:
            ask(payload, metadata=(("authorization", f"Bearer {expired}"),), timeout=30)
        assert refused.value.code() is grpc_library.StatusCode.UNAUTHENTICATED


def test_strangers_are_unauthenticated_by_grpc(endpoint, parent):
    with grpc_library.secure_channel(endpoint, grpc_library.ssl_channel_credentials()) as channel:
        ask = channel.unary_unary("/google.cloud.aiplatform.v1.JobService/ListCustomJobs")
        payload = aiplatform_v1.ListCustomJobsRequest.serialize(
            aiplatform_v1.ListCustomJobsRequest(parent=parent)
        )
        for metadata in ((), (("authorization", "Bearer ya29.not-a-token"),)):
            with pytest.raises(grpc_library.RpcError) as refused:
                ask(payload, metadata=metadata, timeout=30)
            assert refused.value.code() is grpc_library.StatusCode.UNAUTHENTICATED


def test_json_that_is_none_of_the_method_is_refused(endpoint, parent, credentials):
    session = AuthorizedSession(credentials)
    url = f"https://{endpoint}/v1/{parent}/models"
    for query in ({"pageSize": "many"}, {"bogus": "1"}):
        answer = session.get(url, params=query, timeout=30)
        assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    for body in ("{", '{"model": {"displayName": 1}}', '{"bogus": {}}'):
        answer = session.post(f"{url}:upload", data=body, timeout=30)
        assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert session.get(f"https://{endpoint}/v1/{parent}/nothingOfTheKind", timeout=30).status_code == 404
    listed = session.get(url, params={"pageSize": 1, "$alt": "json;enum-encoding=int"}, timeout=30)
    assert listed.status_code == 200 and listed.headers["content-type"].startswith("application/json")
