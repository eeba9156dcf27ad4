"""Metadata stores and metadata schemas, in the store of resources."""

import contextlib
import re
import time
from typing import Any

from google.api_core.exceptions import AlreadyExists, FailedPrecondition, InvalidArgument
from google.cloud import aiplatform_v1 as v1

from trainwright.local.services.names import new_id
from trainwright.local.services.resources import Resources, timestamp
from trainwright.local.store import Store

_ID = re.compile(r"[a-z0-9][a-z0-9-]{3,127}")  # reference of MetadataService.CreateMetadataStore, 2026-11
_VERSION = re.compile(r"[0-9]+[.][0-9]+[.][0-9]+")  # reference of MetadataSchema.schema_version, 2026-11


class MetadataStores:
    """The metadata stores, with the schemas that were registered in them.

    Every location has the store `default`: it is made when somebody first asks for it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stores: Resources[v1.MetadataStore] = Resources(store, "metadataStore", v1.MetadataStore)
        self._schemas: Resources[v1.MetadataSchema] = Resources(store, "metadataSchema", v1.MetadataSchema)

    def create(self, parent: str, metadata_store: v1.MetadataStore, given_id: str) -> v1.MetadataStore:
        """Records a metadata store.

        Raises:
            InvalidArgument: The id is malformed.
            AlreadyExists: There is one of that id.
        """
        metadata_store.name = f"{parent}/metadataStores/{_checked(given_id, 'metadata_store_id')}"
        metadata_store.create_time = metadata_store.update_time = timestamp(time.time())
        self._create(metadata_store.name, "metadataStore", metadata_store)
        return metadata_store

    def get(self, name: str) -> v1.MetadataStore:
        """The metadata store of that name.

        Raises:
            NotFound: There is none, and it is not `default`.
        """
        found = self._stores.find(name)
        if found is None and name.endswith("/metadataStores/default"):
            with contextlib.suppress(AlreadyExists):  # another call has made it meanwhile
                return self.create(name.partition("/metadataStores/")[0], v1.MetadataStore(), "default")
        return found or self._stores.get(name)

    def all(self, parent: str) -> list[v1.MetadataStore]:
        """The metadata stores of a location, oldest first."""
        return self._stores.all(f"{parent}/metadataStores/")

    def delete(self, name: str) -> None:
        """Removes a metadata store with all that is in it.

        Raises:
            FailedPrecondition: It is `default`, which holds the artifacts of the location's pipelines.
        """
        self.get(name)
        if name.endswith("/metadataStores/default"):
            raise FailedPrecondition(f"{name!r}: holds the artifacts of the location's pipelines")
        for kind in ("artifact", "context", "execution", "metadataSchema"):
            for child in self._store.names(kind, f"{name}/"):
                self._store.delete(child)
        for kind in ("contextParent", "contextMember", "executionEvent"):
            for link in self._store.names(kind, f"{name}/"):
                self._store.delete(link)
        self._store.delete(name)

    def create_schema(self, parent: str, schema: v1.MetadataSchema, given_id: str) -> v1.MetadataSchema:
        """Registers a schema.

        Raises:
            InvalidArgument: The id, the version or the schema is malformed.
            AlreadyExists: There is one of that id, or of that title and version.
        """
        self.get(parent)
        title = _title(schema.schema)
        if not _VERSION.fullmatch(schema.schema_version):
            raise InvalidArgument(f"schema_version {schema.schema_version!r}: expected N.N.N, e.g. 0.0.1")
        if not schema.schema_type:
            raise InvalidArgument("schema_type: expected ARTIFACT_TYPE, EXECUTION_TYPE or CONTEXT_TYPE")
        for other in self.all_schemas(parent):
            if (_title(other.schema), other.schema_version) == (title, schema.schema_version):
                raise AlreadyExists(f"schema {title} {schema.schema_version} is {other.name!r} already")
        schema.name = f"{parent}/metadataSchemas/{_checked(given_id, 'metadata_schema_id')}"
        schema.create_time = timestamp(time.time())
        self._create(schema.name, "metadataSchema", schema)
        return schema

    def get_schema(self, name: str) -> v1.MetadataSchema:
        """The schema of that name.

        Raises:
            NotFound: There is none.
        """
        return self._schemas.get(name)

    def all_schemas(self, parent: str) -> list[v1.MetadataSchema]:
        """The schemas that were registered in a metadata store, oldest first."""
        return self._schemas.all(f"{parent}/metadataSchemas/")

    def page_schemas(self, parent: str, request: Any) -> tuple[list[v1.MetadataSchema], str]:
        """Filter and page of a ListMetadataSchemas request, and the next page's token."""
        return self._schemas.page(self.all_schemas(parent), request)

    def _create(self, name: str, kind: str, message: Any) -> None:
        try:
            self._store.create(name, kind, type(message).serialize(message))
        except FileExistsError:
            raise AlreadyExists(f"{type(message).__name__} {name!r} exists already") from None


def _checked(given: str, field: str) -> str:
    if given and not _ID.fullmatch(given):
        raise InvalidArgument(f"{field} {given!r}: expected 4 to 128 of a-z, 0-9 and -, no - first")
    return given or new_id()


def _title(schema: str) -> str:
    """The title in the YAML of a schema."""
    import yaml

    try:
        content = yaml.safe_load(schema)
    except yaml.YAMLError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("title"), str):
        raise InvalidArgument("schema: expected YAML of an OpenAPI schema object with a title")
    return content["title"]
