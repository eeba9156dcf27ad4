"""The model registry: versions, aliases, masks, etags, filters and orders."""

import pytest
from google.cloud import aiplatform

SERVICE = "ModelService"


def test_names_have_the_projects_number_whatever_the_caller_wrote(call, model, parent, number, location):
    model_id = model.rpartition("/")[2]
    for form in (f"{parent}/models/{model_id}", f"projects/{number}/locations/{location}/models/{model_id}"):
        assert (
            call(SERVICE, "get_model", name=form).name
            == f"projects/{number}/locations/{location}/models/{model_id}"
        )


def test_what_is_not_there_is_not_found(call, parent):
    absent = f"{parent}/models/1234567890"
    for method in ("get_model", "delete_model", "list_model_versions"):
        with call.refuses("NOT_FOUND"):
            call(SERVICE, method, name=absent)
    with call.refuses("NOT_FOUND"):
        model = {"name": absent, "display_name": "x"}
        call(SERVICE, "update_model", model=model, update_mask={"paths": ["display_name"]})


def test_an_update_changes_what_the_mask_names(call, model):
    before = call(SERVICE, "get_model", name=model)
    change = {"name": model, "description": "changed", "display_name": "not in the mask"}
    after = call(SERVICE, "update_model", model=change, update_mask={"paths": ["description"]})
    assert (after.description, after.display_name) == ("changed", before.display_name)
    assert after.update_time > before.update_time
    for path in ("create_time", "bogus"):
        with call.refuses("INVALID_ARGUMENT"):
            call(SERVICE, "update_model", model=change, update_mask={"paths": [path]})
    long = {"name": model, "display_name": "x" * 129}
    with call.refuses("INVALID_ARGUMENT"):
        call(SERVICE, "update_model", model=long, update_mask={"paths": ["display_name"]})


def test_an_old_etag_is_refused(call, model):
    read = call(SERVICE, "get_model", name=model)
    mask = {"paths": ["description"]}
    first = {"name": model, "description": call.transport, "etag": read.etag}
    assert call(SERVICE, "update_model", model=first, update_mask=mask).etag != read.etag
    with call.refuses("ABORTED"):
        call(SERVICE, "update_model", model=first | {"description": "too late"}, update_mask=mask)
    assert call(SERVICE, "get_model", name=model).description == call.transport


def test_versions_and_aliases(call, model, parent):
    spec = {"image_uri": "us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-5:latest"}
    second = {"display_name": "second", "container_spec": spec, "version_aliases": ["challenger"]}
    uploaded = call.result(call(SERVICE, "upload_model", parent=parent, parent_model=model, model=second))
    assert uploaded.model_version_id == "2"
    assert call(SERVICE, "get_model", name=model).version_id == "1"
    assert call(SERVICE, "get_model", name=f"{model}@challenger").version_id == "2"
    listed = call(SERVICE, "list_model_versions", name=model).models
    assert [each.version_id for each in listed] == ["2", "1"]
    call(SERVICE, "merge_version_aliases", name=f"{model}@2", version_aliases=["default"])
    assert call(SERVICE, "get_model", name=model).version_id == "2"
    with call.refuses("FAILED_PRECONDITION"):
        call.result(call(SERVICE, "delete_model_version", name=f"{model}@2"))
    with call.refuses("INVALID_ARGUMENT"):
        call(SERVICE, "merge_version_aliases", name=f"{model}@2", version_aliases=["Not valid"])
    call(SERVICE, "merge_version_aliases", name=f"{model}@1", version_aliases=["default"])
    call.result(call(SERVICE, "delete_model_version", name=f"{model}@2"))
    with call.refuses("NOT_FOUND"):
        call(SERVICE, "get_model", name=f"{model}@2")


def test_lists(call, model, parent):
    suite = call(SERVICE, "get_model", name=model).display_name
    for text in (
        f"labels.suite={suite}",
        f'display_name="{suite}" AND labels.suite:*',
        f'model="{model.split("/")[-1]}"',
    ):
        found = call(SERVICE, "list_models", parent=parent, filter=text).models
        assert [each.name for each in found] == [model], text
    assert not list(call(SERVICE, "list_models", parent=parent, filter=f"labels.suite={suite}x").models)
    with call.refuses("INVALID_ARGUMENT"):
        call(SERVICE, "list_models", parent=parent, page_token="bm90aGluZw==")


def test_a_model_needs_a_name_and_allowed_labels(call, parent):
    spec = {"image_uri": "us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-5:latest"}
    for wrong in (
        {"container_spec": spec},
        {"display_name": "x", "container_spec": spec, "labels": {"A": "b"}},
    ):
        with call.refuses("INVALID_ARGUMENT"):
            call.result(call(SERVICE, "upload_model", parent=parent, model=wrong))


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_sdk(project, location, model, transport):
    aiplatform.init(project=project, location=location, api_transport=transport)
    found = aiplatform.Model(model)
    assert found.version_id == "1"
    found.update(description="by the SDK", labels={"suite": found.display_name, "by": "sdk"})
    assert aiplatform.Model(model).description == "by the SDK"
    registry = found.versioning_registry
    assert [each.version_id for each in registry.list_versions()] == ["1"]
    assert [
        each.resource_name for each in aiplatform.Model.list(filter=f"labels.suite={found.display_name}")
    ] == [model]
