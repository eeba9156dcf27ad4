import pytest
from google.api_core.exceptions import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from google.cloud import aiplatform_v1 as v1

from trainwright.local.services.models import Models
from trainwright.local.services.names import Project
from trainwright.local.services.operations import Operations
from trainwright.local.store import Store

PARENT = "projects/any-project/locations/us-central1"


@pytest.fixture
def models(tmp_path):
    store = Store(tmp_path / "s")
    project = Project("trainwright-local", "100000000001")
    yield Models(store=store, operations=Operations(store, project), project=project)
    store.close()


def upload(models, parent_model="", aliases=(), **fields):
    model = v1.Model(
        display_name="churn", container_spec={"image_uri": "i"}, version_aliases=aliases, **fields
    )
    request = v1.UploadModelRequest(parent=PARENT, parent_model=parent_model, model=model, model_id="churn")
    operation = models.upload_model(request, None)
    answer = v1.UploadModelResponse.pb()()
    assert operation.response.Unpack(answer)
    return answer


def get(models, name):
    return models.get_model(v1.GetModelRequest(name=name), None)


def test_the_first_version_is_the_default_and_a_later_one_only_if_asked(models):
    first = upload(models)
    assert first.model == "projects/100000000001/locations/us-central1/models/churn"
    second = upload(models, parent_model=first.model)
    assert second.model_version_id == "2"
    assert get(models, first.model).version_id == "1"
    upload(models, parent_model=first.model, aliases=["default", "best"])
    assert get(models, first.model).version_id == "3"
    assert get(models, first.model + "@best").version_id == "3"
    assert list(get(models, first.model + "@1").version_aliases) == []


def test_list_shows_each_model_once_and_takes_a_filter(models):
    name = upload(models).model
    upload(models, parent_model=name)
    for text, expected in (("", 1), ('display_name="churn"', 1), ('display_name="other"', 0)):
        found = models.list_models(v1.ListModelsRequest(parent=PARENT, filter=text), None)
        assert len(found.models) == expected
    versions = models.list_model_versions(v1.ListModelVersionsRequest(name=name), None).models
    assert [version.version_id for version in versions] == ["2", "1"]


def test_aliases_move_and_default_cannot_be_dropped(models):
    name = upload(models).model
    upload(models, parent_model=name)
    request = v1.MergeVersionAliasesRequest(name=name + "@2", version_aliases=["default", "blue"])
    assert "default" in models.merge_version_aliases(request, None).version_aliases
    assert get(models, name).version_id == "2"
    request = v1.MergeVersionAliasesRequest(name=name + "@2", version_aliases=["-blue"])
    assert list(models.merge_version_aliases(request, None).version_aliases) == ["default"]
    with pytest.raises(InvalidArgument, match="default"):
        models.merge_version_aliases(
            v1.MergeVersionAliasesRequest(name=name + "@2", version_aliases=["-default"]), None
        )


def test_what_vertex_refuses_is_refused(models):
    name = upload(models).model
    with pytest.raises(AlreadyExists):
        upload(models)
    with pytest.raises(NotFound):
        upload(models, parent_model=name + "x")
    with pytest.raises(InvalidArgument, match="artifact_uri"):
        upload(models, parent_model=name, artifact_uri="/tmp/model")
    with pytest.raises(NotFound, match="version or alias"):
        get(models, name + "@9")
    with pytest.raises(FailedPrecondition):
        models.delete_model_version(v1.DeleteModelVersionRequest(name=name + "@1"), None)
    models.delete_model(v1.DeleteModelRequest(name=name), None)
    with pytest.raises(NotFound):
        get(models, name)
