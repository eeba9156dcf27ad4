"""The table from the SDK, and HTTP/JSON to messages and back: pure functions, tried by tables."""

import json
import pkgutil
import re

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1 as v1
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from trainwright.local.wire.dispatch import location_of
from trainwright.local.wire.routes import Routes, unserved_method
from trainwright.local.wire.transcode import Template, enums_as_integers, parse_request, to_json

NAME = "projects/p/locations/l/models/1"


def _every_service():
    import google.cloud.aiplatform_v1.services as folder

    for module in pkgutil.iter_modules(folder.__path__):
        yield "".join(part.capitalize() for part in module.name.split("_"))


def test_every_http_form_of_every_method_of_vertex_finds_its_way_back():
    routes = Routes([*_every_service(), "Projects", "Operations"])
    forms = [(method, binding) for method in routes.methods() for binding in method.bindings]
    assert len(forms) > 300
    for method, binding in forms:
        path = re.sub(r"{[^}=]+=?([^}]*)}", lambda found: found[1] or "*", binding.template.uri)
        found, same_binding, _ = routes.by_path(binding.verb, path)
        assert (found.full_name, same_binding.template.uri) == (method.full_name, binding.template.uri)


@pytest.mark.parametrize(
    ("verb", "path", "method"),
    [
        ("POST", "/v1/projects/p/locations/l/customJobs", "JobService/CreateCustomJob"),
        ("GET", "/v1beta1/projects/p/locations/l/customJobs/1", "JobService/GetCustomJob"),
        ("POST", "/v1/projects/p/locations/l/customJobs/1%3Acancel", "JobService/CancelCustomJob"),
        ("GET", f"/v1/{NAME}:listVersions", "ModelService/ListModelVersions"),
        ("GET", f"/ui/{NAME}/operations/2", "Operations/GetOperation"),
        ("GET", f"/v1/{NAME}/operations", "Operations/ListOperations"),
        ("DELETE", "/v1/projects/p/locations/l/operations/2", "Operations/DeleteOperation"),
        ("POST", f"/v1beta1/{NAME}/operations/2:wait", "Operations/WaitOperation"),
        ("GET", "/v3/projects/p", "Projects/GetProject"),
        ("POST", "/v1/projects/p/locations/l/customJobs/1:preempt", "Rehearsal/Preempt"),
        ("POST", "/v1/projects/p/locations/l/customJobs/1/replicas/a:preempt", "Rehearsal/Preempt"),
    ],
)
def test_paths_name_methods(verb, path, method):
    routes = Routes(["JobService", "ModelService", "Operations", "Projects", "Rehearsal"])
    found, _, variables = routes.by_path(verb, path)
    assert found.full_name.endswith(method)
    assert next(iter(variables.values())).startswith("projects/p")


def test_what_is_not_served_can_be_named_and_a_service_that_is_none_is_refused():
    found = unserved_method("POST", "/v1/projects/p/locations/l/featurestores")
    assert found == "google.cloud.aiplatform.v1.FeaturestoreService/CreateFeaturestore"
    assert unserved_method("GET", "/v1/else") is None
    with pytest.raises(ValueError, match="NoService"):
        Routes(["NoService"]).load()


def _parse(message_type, query="", body=b"", field="", **variables):
    return parse_request(message_type, variables=variables, query=query, field_of_body=field, body=body)


def test_a_request_is_made_of_path_query_and_body():
    query = "filter=state%3D%22X%22&pageSize=5&read_mask=name,displayName&%24alt=json&prettyPrint=true&key=k"
    request = _parse(v1.ListPipelineJobsRequest, query, parent="projects/p/locations/l")
    assert (request.parent, request.page_size) == ("projects/p/locations/l", 5)
    assert list(request.read_mask.paths) == ["name", "display_name"]
    assert request.filter == 'state="X"'
    wait = _parse(operations_pb2.WaitOperationRequest, "timeout=1.5s", b"{}", "*", name="o")
    assert wait.timeout.ToMilliseconds() == 1500
    forced = _parse(v1.DeleteMetadataStoreRequest, "force=True", name="n")
    assert forced.force is True
    body = b'{"displayName": "d", "labels": {"a": "b"}}'
    update = _parse(v1.UpdateModelRequest, "updateMask=displayName", body, "model", **{"model.name": NAME})
    assert (update.model.name, update.model.labels["a"]) == (NAME, "b")
    assert list(update.update_mask.paths) == ["display_name"]
    empty = _parse(v1.CreateCustomJobRequest, "", b"{}", "custom_job", parent="p")
    assert "custom_job" in empty


@pytest.mark.parametrize(
    ("query", "body", "field", "names"),
    [
        ("pageSiz=5", b"", "", "pageSiz"),
        ("pageSize=x", b"", "", "page_size"),
        ("parent.name=x", b"", "", "parent.name"),
        ("", b"[1]", "*", "not a JSON object"),
        ("", b"{", "*", "Expecting property name"),
        ("", b'{"pageSize": "many"}', "*", "pageSize"),
        ("", b'{"parent": "\xff"}', "*", "utf-8"),
        ("", b'{"parent": ' * 2000 + b"1" + b"}" * 2000, "*", "Invalid JSON"),
    ],
)
def test_what_does_not_fit_is_an_invalid_argument_that_says_where(query, body, field, names):
    with pytest.raises(exceptions.InvalidArgument, match=names):
        _parse(v1.ListCustomJobsRequest, query, body, field)


def test_answers_name_enums_or_number_them_and_speak_the_callers_version():
    job = v1.CustomJob.pb(v1.CustomJob(name="n", state=v1.JobState.JOB_STATE_SUCCEEDED))
    assert json.loads(to_json(job, version="v1", integers=False))["state"] == "JOB_STATE_SUCCEEDED"
    integers = enums_as_integers("%24alt=json%3Benum-encoding%3Dint")
    assert json.loads(to_json(job, version="v1", integers=integers))["state"] == 4
    assert not enums_as_integers("$alt=json")
    operation = operations_pb2.Operation(name="o", done=True)
    operation.response.Pack(job)
    types = [
        json.loads(to_json(operation, version=version, integers=False))["response"]["@type"].split(".")[-2]
        for version in ("v1", "v1beta1")
    ]
    assert types == ["v1", "v1beta1"]
    assert to_json(empty_pb2.Empty(), version="v1", integers=False) == b"{}"


def test_the_location_is_that_of_the_resource_that_a_request_is_about():
    assert location_of(v1.ListModelsRequest(parent="projects/p/locations/a", filter="locations/b")) == "a"
    assert location_of(v1.UpdateModelRequest(model=v1.Model(name="projects/p/locations/b/models/1"))) == "b"
    assert location_of(v1.DeployModelRequest(endpoint="projects/p/locations/c/endpoints/1")) == "c"
    assert location_of(operations_pb2.GetOperationRequest(name="projects/p/operations/1")) is None


def test_a_template_takes_segments_and_decodes_them():
    template = Template("/v1/{name=projects/*/models/*}:upload")
    assert template.match("/v1/projects/p/models/a%402:upload") == {"name": "projects/p/models/a@2"}
    assert template.match("/v1/projects/p/q/models/a:upload") is None
    assert template.match("/v1/projects//models/a:upload") is None
    assert Template("/v1/{name=projects/**}/operations").match("/v1/projects/a/b/operations") == {
        "name": "projects/a/b"
    }
