"""`google.cloud.aiplatform.v1.ModelService`: the model registry, with versions and aliases.

A model is the set of its versions, each a record `…/models/ID@N`. One of them carries the alias `default`: it
is what the model's bare name means (Vertex AI documentation, "Model versioning", 2026-08-22).
"""

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from google.api_core.exceptions import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2

from trainwright.local.services.deployed import deployed_models
from trainwright.local.services.filters import ordered, page
from trainwright.local.services.names import Project, checked_id
from trainwright.local.services.operations import Operations
from trainwright.local.services.resources import Resources, check_etag, check_labels, etag, timestamp, view
from trainwright.local.store import Store

_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
# Reference of UpdateModelRequest (1.165.1): of the model, so of all its versions; and of one version.
_OF_MODEL, _OF_VERSION = {"display_name", "description"}, {"version_description"}


class Models:
    """Uploads, shows, changes and deletes models and their versions."""

    def __init__(self, *, store: Store, operations: Operations, project: Project) -> None:
        self._store = store
        self._operations = operations
        self._project = project
        self._versions: Resources[v1.Model] = Resources(store, "modelVersion", v1.Model)

    def upload_model(self, request: v1.UploadModelRequest, context: Any) -> Any:
        """Registers a new model, or a new version of `parent_model`.

        Raises:
            InvalidArgument: No display name, no serving container, or a path that is not gs://.
            NotFound: `parent_model` does not exist.
            AlreadyExists: There is a model of that `model_id`.
        """
        model = request.model
        self._check(model)
        self._register(model, request.parent, request.parent_model, request.model_id)
        answer = v1.UploadModelResponse(model=model.name, model_version_id=model.version_id)
        return self._operations.done(model.name, answer, v1.UploadModelOperationMetadata())

    def copy_model(self, request: v1.CopyModelRequest, context: Any) -> Any:
        """Registers the version that `source_model` means once more, here or in another location.

        Raises:
            NotFound: `source_model` or `parent_model` does not exist.
            AlreadyExists: There is a model of that `model_id`.
        """
        source = self.resolve(request.source_model)
        model = v1.Model.deserialize(v1.Model.serialize(source))
        model.version_aliases = []
        model.model_source_info = v1.ModelSourceInfo(
            source_type=source.model_source_info.source_type or v1.ModelSourceInfo.ModelSourceType.CUSTOM,
            copy=True,
        )
        self._register(model, request.parent, request.parent_model, request.model_id)
        answer = v1.CopyModelResponse(model=model.name, model_version_id=model.version_id)
        return self._operations.done(model.name, answer, v1.CopyModelOperationMetadata())

    def _register(self, model: v1.Model, location: str, parent_model: str, model_id: str) -> None:
        """Makes a model a new version of `parent_model`, or the first one of a new model; changes it."""
        parent = self._project.canonical(location)
        if parent_model:
            name = self._project.canonical(parent_model).partition("@")[0]
            known = self._all_versions(name)
            if not known:
                raise NotFound(f"Model {name!r} was not found")
        else:
            name = f"{parent}/models/{checked_id(model_id, 'model_id')}"
            known = self._all_versions(name, missing_ok=True)
            if known:
                raise AlreadyExists(
                    f"Model {name!r} exists already: name it as parent_model for a new version"
                )
        _describe(model)
        model.etag = ""
        model.name = name
        model.version_id = str(max((int(version.version_id) for version in known), default=0) + 1)
        model.create_time = known[0].create_time if known else timestamp(time.time())
        model.update_time = model.version_create_time = model.version_update_time = timestamp(time.time())
        aliases = [*model.version_aliases, *([] if known else ["default"])]
        model.version_aliases = list(dict.fromkeys(aliases))
        self._save([*self._without(known, model.version_aliases), model])

    def check_names(self, model: v1.Model, *, parent: str, parent_model: str, model_id: str) -> None:
        """Says what an upload would be refused for, as far as the names tell, before a model is trained.

        Raises:
            InvalidArgument: A name is not valid.
            NotFound: `parent_model` does not exist.
            AlreadyExists: There is a model of that `model_id`.
        """
        _check_display_name(model.display_name)
        _check_aliases(model.version_aliases)
        if parent_model:
            self._all_versions(self._project.canonical(parent_model).partition("@")[0])
        elif model_id:
            name = f"{self._project.canonical(parent)}/models/{checked_id(model_id, 'model_id')}"
            if self._all_versions(name, missing_ok=True):
                raise AlreadyExists(f"Model {name!r} exists already: name it as parent_model")

    def trained_by(self, training_pipeline: str) -> v1.Model | None:
        """The version that a training pipeline has uploaded, or None."""
        location = training_pipeline.partition("/trainingPipelines/")[0]
        versions = self._versions.all(f"{location}/models/")
        return next((each for each in versions if each.training_pipeline == training_pipeline), None)

    def get_model(self, request: v1.GetModelRequest, context: Any) -> v1.Model:
        """The version that `name@VERSION` or `name@ALIAS` means; of a bare name, the default one."""
        return self._presented(self.resolve(request.name), deployed_models(self._store))

    def list_models(self, request: v1.ListModelsRequest, context: Any) -> v1.ListModelsResponse:
        """The models of a location, each as its default version."""
        prefix = f"{self._project.canonical(request.parent)}/models/"
        defaults = [model for model in self._versions.all(prefix) if "default" in model.version_aliases]
        found, token = self._versions.page(defaults, request)
        deployed = deployed_models(self._store)
        return v1.ListModelsResponse(
            models=[self._presented(model, deployed) for model in found], next_page_token=token
        )

    def list_model_versions(
        self, request: v1.ListModelVersionsRequest, context: Any
    ) -> v1.ListModelVersionsResponse:
        """The versions of a model, newest first unless ordered otherwise."""
        versions = self._all_versions(self._project.canonical(request.name).partition("@")[0])
        if not request.order_by and not request.filter:
            newest = ordered(versions, "version_create_time desc", view)
            found, token = page(newest, request.page_size, request.page_token, "|")
        else:
            found, token = self._versions.page(versions, request)
        deployed = deployed_models(self._store)
        presented = [self._presented(model, deployed) for model in found]
        return v1.ListModelVersionsResponse(models=presented, next_page_token=token)

    def list_model_version_checkpoints(
        self, request: v1.ListModelVersionCheckpointsRequest, context: Any
    ) -> v1.ListModelVersionCheckpointsResponse:
        """No checkpoints: tuned models of Google alone have some."""
        self.resolve(request.name)
        return v1.ListModelVersionCheckpointsResponse()

    def update_model(self, request: v1.UpdateModelRequest, context: Any) -> v1.Model:
        """Changes the fields of the mask on the version that the name means, or on all of a model's.

        Raises:
            InvalidArgument: A field of the mask cannot be changed.
            FailedPrecondition: The mask has fields of the model and of the version.
            Aborted: The etag is not the version's.
        """
        model = self.resolve(request.model.name)
        check_etag(request.model.etag, etag(model), model.name)
        paths = set(request.update_mask.paths)
        if unknown := sorted(paths - _OF_MODEL - _OF_VERSION - {"labels"}):
            allowed = ", ".join(sorted({*_OF_MODEL, *_OF_VERSION, "labels"}))
            raise InvalidArgument(f"update_mask {unknown[0]!r}: cannot be changed; can be changed: {allowed}")
        if paths & _OF_MODEL and paths & _OF_VERSION:
            raise FailedPrecondition(
                "update_mask: has fields of the model and of its version; expected one kind"
            )
        changed = [model]
        if paths & _OF_MODEL:
            others = (o for o in self._all_versions(model.name) if o.version_id != model.version_id)
            changed += others
        for version in changed:
            for path in paths & _OF_MODEL if version is not model else paths:
                setattr(version, path, getattr(request.model, path))
            _check_display_name(version.display_name)
            version.update_time = timestamp(time.time())
        model.version_update_time = timestamp(time.time())
        self._save(changed)
        return self._presented(model, deployed_models(self._store))

    def merge_version_aliases(self, request: v1.MergeVersionAliasesRequest, context: Any) -> v1.Model:
        """Adds aliases to a version, taking them from others, and removes those written `-alias`.

        Raises:
            InvalidArgument: An alias is malformed, or `-default` (it can only be moved).
        """
        model = self.resolve(request.name)
        added = [alias for alias in request.version_aliases if not alias.startswith("-")]
        removed = {alias[1:] for alias in request.version_aliases if alias.startswith("-")}
        _check_aliases(added)
        if "default" in removed:
            raise InvalidArgument("version_aliases '-default': default can only be moved to another version")
        kept = [alias for alias in model.version_aliases if alias not in removed]
        model.version_aliases = list(dict.fromkeys([*kept, *added]))
        model.version_update_time = timestamp(time.time())
        others = [other for other in self._all_versions(model.name) if other.version_id != model.version_id]
        self._save([*self._without(others, added), model])
        return self._presented(model, deployed_models(self._store))

    def delete_model(self, request: v1.DeleteModelRequest, context: Any) -> Any:
        """Removes a model with all its versions from the registry; its files stay.

        Raises:
            FailedPrecondition: A version is deployed.
        """
        name = self._project.canonical(request.name).partition("@")[0]
        versions = self._all_versions(name)
        for version in versions:
            self._refuse_deployed(version)
        for version in versions:
            self._forget(version)
        return self._operations.done(name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def delete_model_version(self, request: v1.DeleteModelVersionRequest, context: Any) -> Any:
        """Removes one version from the registry; its files stay.

        Raises:
            FailedPrecondition: It is the default version, or deployed.
        """
        model = self.resolve(request.name)
        if "default" in model.version_aliases:
            raise FailedPrecondition(
                f"{request.name!r} is the default version: move the alias or delete the model"
            )
        self._refuse_deployed(model)
        self._forget(model)
        return self._operations.done(model.name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def _check(self, model: v1.Model) -> None:
        _check_display_name(model.display_name)
        if not model.container_spec.image_uri:
            raise InvalidArgument(
                "model.container_spec.image_uri: empty; expected the image that serves the model"
            )
        if model.artifact_uri and not model.artifact_uri.startswith("gs://"):
            raise InvalidArgument(f"model.artifact_uri {model.artifact_uri!r}: expected gs://BUCKET/…")
        check_labels(model.labels, "model.labels")
        _check_aliases(model.version_aliases)

    def _all_versions(self, name: str, missing_ok: bool = False) -> list[v1.Model]:
        versions = self._versions.all(f"{name}@")
        if not versions and not missing_ok:
            raise NotFound(f"Model {name!r} was not found")
        return versions

    def resolve(self, name: str) -> v1.Model:
        """The version that `name@VERSION` or `name@ALIAS` means; of a bare name, the default one.

        Raises:
            NotFound: There is none.
        """
        name, _, wanted = self._project.canonical(name).partition("@")
        wanted = "" if wanted == "-" else wanted
        for version in self._all_versions(name):
            if (wanted or "default") in (version.version_id, *version.version_aliases):
                return version
        raise NotFound(f"Model {name!r} has no version or alias {wanted!r}")

    def _without(self, versions: Iterable[v1.Model], aliases: Iterable[str]) -> list[v1.Model]:
        """The versions that carry one of the aliases, stripped of them."""
        taken = set(aliases)
        changed = [version for version in versions if taken & set(version.version_aliases)]
        for version in changed:
            version.version_aliases = [alias for alias in version.version_aliases if alias not in taken]
        return changed

    def _save(self, models: Iterable[v1.Model]) -> None:
        self._store.write_many(
            (f"{model.name}@{model.version_id}", "modelVersion", v1.Model.serialize(model))
            for model in models
        )

    def _forget(self, model: v1.Model) -> None:
        """Removes a version with its evaluations."""
        name = f"{model.name}@{model.version_id}"
        for kind in ("evaluatedAnnotation", "modelEvaluationSlice", "modelEvaluation"):
            for part in self._store.names(kind, f"{name}/evaluations/"):
                self._store.delete(part)
        self._store.delete(name)

    def _refuse_deployed(self, model: v1.Model) -> None:
        name = f"{model.name}@{model.version_id}"
        if references := deployed_models(self._store).get(name):
            endpoints = ", ".join(sorted({reference.endpoint for reference in references}))
            raise FailedPrecondition(f"Model {name!r} is deployed to {endpoints}: undeploy it first")

    def _presented(self, model: v1.Model, deployed: Mapping[str, list[v1.DeployedModelRef]]) -> v1.Model:
        model.etag = etag(model)
        model.deployed_models = deployed.get(f"{model.name}@{model.version_id}", [])
        return model


def _describe(model: v1.Model) -> None:
    """Adds what can be done with a custom-trained model (reference of Model, 1.165.1)."""
    resources, export = v1.Model.DeploymentResourcesType, v1.Model.ExportFormat
    model.supported_deployment_resources_types = [resources.DEDICATED_RESOURCES]
    model.supported_input_storage_formats = ["jsonl", "bigquery", "csv", "tf-record", "file-list"]
    model.supported_output_storage_formats = ["jsonl", "bigquery"]
    if model.artifact_uri:
        contents = [export.ExportableContent.ARTIFACT]
        model.supported_export_formats = [export(id="custom-trained", exportable_contents=contents)]


def _check_display_name(name: str) -> None:
    if not 0 < len(name) <= 128:
        raise InvalidArgument(f"model.display_name {name!r}: expected 1 to 128 characters")


def _check_aliases(aliases: Iterable[str]) -> None:
    for alias in aliases:
        if not _ALIAS.fullmatch(alias):
            raise InvalidArgument(
                f"version alias {alias!r}: expected a-z, then letters, digits or -; 128 characters at most"
            )
