"""`google.cloud.aiplatform.v1.ModelService`: the model registry, with versions and aliases.

A model is the set of its versions, each a record `…/models/ID@N`. One of them carries the alias `default`: it
is what the model's bare name means (Vertex AI documentation, "Model versioning", 2026-08-22).
"""

import re
import time
from collections.abc import Iterable
from typing import Any

from google.api_core.exceptions import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2

from trainwright.local.services.filters import ordered, page
from trainwright.local.services.names import Project, checked_id
from trainwright.local.services.operations import Operations
from trainwright.local.services.resources import Resources, check_etag, check_labels, etag, timestamp, view
from trainwright.local.store import Store

_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
_MUTABLE = {"display_name", "description", "version_description", "labels"}


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
        parent = self._project.canonical(request.parent)
        if request.parent_model:
            name = self._project.canonical(request.parent_model).partition("@")[0]
            known = self._all_versions(name)
            if not known:
                raise NotFound(f"Model {name!r} was not found")
        else:
            name = f"{parent}/models/{checked_id(request.model_id, 'model_id')}"
            known = self._all_versions(name, missing_ok=True)
            if known:
                raise AlreadyExists(
                    f"Model {name!r} exists already: name it as parent_model for a new version"
                )
        model.name = name
        model.version_id = str(max((int(version.version_id) for version in known), default=0) + 1)
        model.create_time = known[0].create_time if known else timestamp(time.time())
        model.update_time = model.version_create_time = model.version_update_time = timestamp(time.time())
        aliases = [*model.version_aliases, *([] if known else ["default"])]
        model.version_aliases = list(dict.fromkeys(aliases))
        self._save([*self._without(known, model.version_aliases), model])
        answer = v1.UploadModelResponse(model=name, model_version_id=model.version_id)
        return self._operations.done(name, answer, v1.UploadModelOperationMetadata())

    def get_model(self, request: v1.GetModelRequest, context: Any) -> v1.Model:
        """The version that `name@VERSION` or `name@ALIAS` means; of a bare name, the default one."""
        return self._presented(self._resolve(request.name))

    def list_models(self, request: v1.ListModelsRequest, context: Any) -> v1.ListModelsResponse:
        """The models of a location, each as its default version."""
        prefix = f"{self._project.canonical(request.parent)}/models/"
        defaults = [model for model in self._versions.all(prefix) if "default" in model.version_aliases]
        found, token = self._versions.page(defaults, request)
        return v1.ListModelsResponse(
            models=[self._presented(model) for model in found], next_page_token=token
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
        presented = [self._presented(model) for model in found]
        return v1.ListModelVersionsResponse(models=presented, next_page_token=token)

    def update_model(self, request: v1.UpdateModelRequest, context: Any) -> v1.Model:
        """Changes the fields of the mask on the version that the name means.

        Raises:
            InvalidArgument: A field of the mask cannot be changed.
        """
        model = self._resolve(request.model.name)
        check_etag(request.model.etag, etag(model), model.name)
        for path in request.update_mask.paths:
            if path not in _MUTABLE:
                allowed = ", ".join(sorted(_MUTABLE))
                raise InvalidArgument(f"update_mask {path!r}: cannot be changed; can be changed: {allowed}")
            setattr(model, path, getattr(request.model, path))
        self._check(model)
        model.update_time = model.version_update_time = timestamp(time.time())
        self._save([model])
        return self._presented(model)

    def merge_version_aliases(self, request: v1.MergeVersionAliasesRequest, context: Any) -> v1.Model:
        """Adds aliases to a version, taking them from others, and removes those written `-alias`.

        Raises:
            InvalidArgument: An alias is malformed, or `-default` (it can only be moved).
        """
        model = self._resolve(request.name)
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
        return self._presented(model)

    def delete_model(self, request: v1.DeleteModelRequest, context: Any) -> Any:
        """Removes a model with all its versions from the registry; its files stay."""
        name = self._project.canonical(request.name).partition("@")[0]
        for version in self._all_versions(name):
            self._store.delete(f"{name}@{version.version_id}")
        return self._operations.done(name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def delete_model_version(self, request: v1.DeleteModelVersionRequest, context: Any) -> Any:
        """Removes one version from the registry; its files stay.

        Raises:
            FailedPrecondition: It is the default version.
        """
        model = self._resolve(request.name)
        if "default" in model.version_aliases:
            raise FailedPrecondition(
                f"{request.name!r} is the default version: move the alias or delete the model"
            )
        self._store.delete(f"{model.name}@{model.version_id}")
        return self._operations.done(model.name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def _check(self, model: v1.Model) -> None:
        if not 0 < len(model.display_name) <= 128:
            raise InvalidArgument(f"model.display_name {model.display_name!r}: expected 1 to 128 characters")
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

    def _resolve(self, name: str) -> v1.Model:
        name, _, wanted = self._project.canonical(name).partition("@")
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

    def _presented(self, model: v1.Model) -> v1.Model:
        model.etag = etag(model)
        return model


def _check_aliases(aliases: Iterable[str]) -> None:
    for alias in aliases:
        if not _ALIAS.fullmatch(alias):
            raise InvalidArgument(
                f"version alias {alias!r}: expected a-z, then letters, digits or -; 128 characters at most"
            )
