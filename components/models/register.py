"""The model registry: the version in use, and new versions."""

from typing import NamedTuple

from google_cloud_pipeline_components.types.artifact_types import VertexModel
from kfp import dsl
from kfp.dsl import Input, Model, Output

from trainwright.authoring.images import AIPLATFORM, PIPELINE_COMPONENTS, PYTHON_IMAGE

# `project` and `location` default to placeholders of Google Cloud Pipeline Components for those of the run,
# written out because a lightweight component is compiled from its source alone.


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[AIPLATFORM])
def find_champion(
    model_name: str,
    project: str = "{{$.pipeline_google_cloud_project_id}}",
    location: str = "{{$.pipeline_google_cloud_location}}",
) -> NamedTuple("Champion", [("found", bool), ("uri", str), ("version", str)]):  # type: ignore[valid-type]
    """Looks up the default version of a model in the registry. Never cache it: the registry changes.

    Import `uri` with `dsl.importer`: the same version is then the same artifact in every run, so that what
    is computed from it can be cached.

    Args:
        model_name: Display name of the model.
        project: Project of the registry; the run's own by default.
        location: Location of the registry; the run's own by default.

    Returns:
        `found`, and of the default version its `uri` (the model directory) and its `version`
        (`projects/.../models/ID@VERSION`), both empty when there is no model of that name.

    Raises:
        ValueError: Several models have that name, or the version has no directory.
    """
    from google.cloud import aiplatform

    name = model_name.replace('"', '\\"')
    models = aiplatform.Model.list(filter=f'display_name="{name}"', project=project, location=location)
    if not models:
        return (False, "", "")
    if len(models) > 1:
        found = ", ".join(sorted(model.resource_name for model in models))
        raise ValueError(f"{len(models)} models are called {model_name!r}; expected one: {found}")
    version = models[0].versioned_resource_name
    if not models[0].uri:
        raise ValueError(
            f"model {version} has no directory of its own: it was not trained by a pipeline of ours"
        )
    return (True, models[0].uri, version)


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[AIPLATFORM, PIPELINE_COMPONENTS])
def register_model(
    model: Input[Model],
    model_name: str,
    registered: Output[VertexModel],
    promote: bool = False,
    description: str = "",
    labels: dict = {},  # noqa: B006 - KFP reads the default, nothing changes it
    serving_image: str = "us-docker.pkg.dev/vertex-ai/prediction/xgboost-cpu.2-1:latest",
    serving_command: list = [],  # noqa: B006 - likewise
    project: str = "{{$.pipeline_google_cloud_project_id}}",
    location: str = "{{$.pipeline_google_cloud_location}}",
) -> NamedTuple("Registration", [("version", str), ("promoted", bool)]):  # type: ignore[valid-type]
    """Registers a model directory as a new version of a model; the first one makes the model.

    A version of the same directory is found again and not registered twice, so that the step can be repeated.
    Google Cloud Pipeline Components' ModelUploadOp makes every new version the default one and cannot be told
    otherwise (2.22.0): that would put a loser into use.

    Args:
        model: The model directory.
        model_name: Display name of the model, 1 to 128 characters.
        registered: The version, for the components that take a google.VertexModel.
        promote: Whether the alias `default` moves to this version. The first version has it in any case.
        description: Of this version, such as why it was or was not promoted.
        labels: Of this version; keys and values of lower-case letters, digits, "_" and "-".
        serving_image: Vertex AI wants one of Artifact Registry and takes it in at the upload (API reference,
            "ModelContainerSpec", 2026).
        serving_command: What serves the model in that image, e.g. `XGBOOST_TABULAR_SERVER.command()`; empty:
            the image's own entry point, which for the default image wants a model.bst.
        project: Project of the registry; the run's own by default.
        location: Location of the registry; the run's own by default.

    Returns:
        `version` (`projects/.../models/ID@VERSION`) and `promoted`, whether it is the default one now.

    Raises:
        ValueError: Several models have that name.
    """
    from google.cloud import aiplatform

    name = model_name.replace('"', '\\"')
    models = aiplatform.Model.list(filter=f'display_name="{name}"', project=project, location=location)
    if len(models) > 1:
        found = ", ".join(sorted(model.resource_name for model in models))
        raise ValueError(f"{len(models)} models are called {model_name!r}; expected one: {found}")
    parent = models[0] if models else None
    known = []
    if parent:
        versions = parent.versioning_registry.client.list_model_versions(
            request={"name": parent.resource_name}
        )
        known = [version for version in versions if version.artifact_uri.rstrip("/") == model.uri.rstrip("/")]
    if parent and known:
        newest = max(known, key=lambda version: int(version.version_id))
        version_id, is_default = newest.version_id, "default" in newest.version_aliases
        if promote and not is_default:
            parent.versioning_registry.add_version_aliases(["default"], version_id)
            is_default = True
        resource_name = f"{parent.resource_name}@{version_id}"
    else:
        uploaded = aiplatform.Model.upload(
            display_name=model_name,
            artifact_uri=model.uri,
            parent_model=parent.resource_name if parent else None,
            is_default_version=promote or not parent,
            version_description=description,
            labels=labels,
            serving_container_image_uri=serving_image,
            serving_container_command=serving_command or None,
            project=project,
            location=location,
        )
        resource_name, is_default = uploaded.versioned_resource_name, promote or not parent
    registered.uri = f"https://{location}-aiplatform.googleapis.com/v1/{resource_name}"
    registered.metadata["resourceName"] = resource_name
    return (resource_name, is_default)
