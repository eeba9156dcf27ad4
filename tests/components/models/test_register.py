"""The registry's components against a registry: Google's client in a process, local Vertex behind it."""

import json
import os
import subprocess
import sys

import pytest

from trainwright.local.server import LocalVertex

SCENARIO = """
import json
from google.cloud import aiplatform
from google_cloud_pipeline_components.types.artifact_types import VertexModel
from kfp.dsl import Model
from trainwright.components.models.register import find_champion, register_model

RUN = {"project": "trainwright-local", "location": "us-central1"}


def champion(name="churn"):
    return find_champion.python_func(model_name=name, **RUN)


def register(uri, promote, name="churn", **more):
    registered = VertexModel(name="registered", uri="")
    version, promoted = register_model.python_func(
        model=Model(name="model", uri=uri),
        model_name=name, promote=promote, registered=registered, **more, **RUN
    )
    assert registered.metadata == {"resourceName": version}
    assert registered.uri == f"https://us-central1-aiplatform.googleapis.com/v1/{version}"
    return version, promoted


answers = {"none": champion()}
answers["first"] = register("gs://b/1/model", False)
answers["after first"] = champion()
answers["loser"] = register("gs://b/2/model", False, description="lost", labels={"team": "growth"})
answers["after loser"] = champion()
answers["winner"] = register("gs://b/3/model", True)
answers["after winner"] = champion()
answers["again"] = register("gs://b/2/model/", False)
answers["promoted later"] = register("gs://b/2/model", True)
answers["after promotion"] = champion()
answers["winner again"] = register("gs://b/2/model", False)
answers["another name"] = register("gs://b/1/model", True, name='other "x"')
answers["its champion"] = champion('other "x"')
[model] = aiplatform.Model.list(filter='display_name="churn"', **RUN)
versions = model.versioning_registry.list_versions()
answers["versions"] = sorted(
    [found.version_id, found.version_description, list(found.version_aliases)] for found in versions
)
lost = aiplatform.Model(model.resource_name, version="2", **RUN)
answers["labels"] = dict(lost.labels)

aiplatform.Model.upload(
    display_name="churn", artifact_uri="gs://b/9/model", serving_container_image_uri="x", **RUN
)
for name, call in (("find two", champion), ("register two", lambda: register("gs://b/4/model", True))):
    try:
        call()
    except ValueError as error:
        answers[name] = str(error)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> dict:
    with LocalVertex(tmp_path_factory.mktemp("vertex") / "state") as vertex:
        done = subprocess.run(
            [sys.executable, "-c", SCENARIO],
            env={**os.environ, **vertex.environment()}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_without_a_model_there_is_no_champion(answers):
    assert answers["none"] == [False, "", ""]


def test_the_first_version_is_the_default_one_in_any_case(answers):
    version, promoted = answers["first"]
    assert version.endswith("@1")
    assert promoted is True
    assert answers["after first"] == [True, "gs://b/1/model", version]


def test_a_loser_is_a_version_but_not_the_default_one(answers):
    first, _ = answers["first"]
    assert answers["loser"] == [first.replace("@1", "@2"), False]
    assert answers["after loser"] == answers["after first"]
    assert answers["labels"] == {"team": "growth"}


def test_a_winner_becomes_the_default_one(answers):
    first, _ = answers["first"]
    assert answers["winner"] == [first.replace("@1", "@3"), True]
    assert answers["after winner"] == [True, "gs://b/3/model", first.replace("@1", "@3")]


def test_a_directory_is_registered_once(answers):
    second, _ = answers["loser"]
    assert answers["again"] == [second, False]
    assert answers["promoted later"] == [second, True]
    assert answers["winner again"] == [second, True]
    assert answers["after promotion"] == [True, "gs://b/2/model", second]
    assert answers["versions"] == [["1", "", []], ["2", "lost", ["default"]], ["3", "", []]]


def test_models_are_told_apart_by_their_whole_name(answers):
    version, promoted = answers["another name"]
    assert promoted is True
    assert answers["its champion"] == [True, "gs://b/1/model", version]
    assert version.partition("@")[0] != answers["first"][0].partition("@")[0]


def test_two_models_of_one_name_are_refused(answers):
    for call in ("find two", "register two"):
        assert answers[call].startswith("2 models are called 'churn'; expected one: projects/")
