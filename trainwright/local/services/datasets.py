"""`google.cloud.aiplatform.v1.DatasetService`: tabular, image and time series Datasets.

Importing and exporting go on in the background; what a killed process had not ended, the next one does again.
"""

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

from google.api_core.exceptions import Aborted, FailedPrecondition, InvalidArgument
from google.cloud import aiplatform_v1 as v1
from google.longrunning.operations_pb2 import Operation
from google.protobuf import empty_pb2, json_format

from trainwright.local.services.data_items import DataItems
from trainwright.local.services.dataset_exports import DatasetExports, export_folder
from trainwright.local.services.names import Project, new_id
from trainwright.local.services.operations import Cancelled, Operations
from trainwright.local.services.resources import Resources, change, etag, timestamp
from trainwright.local.storage import PlainObjects
from trainwright.local.store import Store
from trainwright.local.training.exports import Exported
from trainwright.local.training.imports import Item, format_of, items_of

_METADATA = "gs://google-cloud-aiplatform/schema/dataset/metadata/"
_TABLES = ("tabular", "time_series")
_KINDS = (*_TABLES, "image")
# Vertex AI documentation, "Deprecations", as of 2026-04-10.
_SHUT_DOWN = {
    "text": "AutoML Text was shut down on 2025-06-15; its replacement is prompting and tuning Gemini",
    "video": "AutoML Video was shut down on 2025-07-31; its replacement is tuning Gemini on video",
}
_LABEL = "aiplatform.googleapis.com/dataset_metadata_schema"
_BIGQUERY = re.compile(r"bq://[^.:/]+[.:][^./]+\.[^./]+")
_GCS = re.compile(r"gs://[^/]+/.+")
_MUTABLE = ("display_name", "description", "labels")


class Datasets:
    """Creates, shows, changes and deletes Datasets and their versions; imports and exports their data."""

    def __init__(
        self, *, store: Store, objects: PlainObjects, operations: Operations, project: Project
    ) -> None:
        self._store = store
        self._objects = objects
        self._operations = operations
        self._project = project
        self._lock = threading.Lock()  # held by whoever reads a Dataset to write it
        self._items = DataItems(store, objects)
        self._exports = DatasetExports(store, objects, self._items)
        self._datasets: Resources[v1.Dataset] = Resources(store, "dataset", v1.Dataset, self._presented)
        self._versions: Resources[v1.DatasetVersion] = Resources(store, "datasetVersion", v1.DatasetVersion)
        operations.register("importData", self._import)
        operations.register("exportData", self._export)

    def create_dataset(self, request: v1.CreateDatasetRequest, context: Any) -> Operation:
        """Makes a Dataset. The files of a table are read when it is trained on or exported, not now.

        Raises:
            InvalidArgument: A field is not valid, or the kind of data is none that Vertex AI still takes.
        """
        dataset = request.dataset
        kind = _checked_kind(dataset.metadata_schema_uri)
        _check_display_name(dataset.display_name)
        if kind in _TABLES:
            _check_source(json_format.MessageToDict(v1.Dataset.pb(dataset).metadata))
        dataset.name = f"{self._project.canonical(request.parent)}/datasets/{new_id()}"
        dataset.create_time = dataset.update_time = timestamp(time.time())
        dataset.labels = {**dataset.labels, _LABEL: kind.upper()}
        dataset.etag = ""
        self._store.create(dataset.name, "dataset", v1.Dataset.serialize(dataset))
        made = self._datasets.get(dataset.name)
        return self._operations.done(dataset.name, made, v1.CreateDatasetOperationMetadata())

    def get_dataset(self, request: v1.GetDatasetRequest, context: Any) -> v1.Dataset:
        """A Dataset with the number of its items."""
        return self._datasets.get(self._project.canonical(request.name))

    def list_datasets(self, request: v1.ListDatasetsRequest, context: Any) -> v1.ListDatasetsResponse:
        """The Datasets of a location."""
        prefix = f"{self._project.canonical(request.parent)}/datasets/"
        found, token = self._datasets.page(self._datasets.all(prefix), request)
        return v1.ListDatasetsResponse(datasets=found, next_page_token=token)

    def update_dataset(self, request: v1.UpdateDatasetRequest, context: Any) -> v1.Dataset:
        """Changes the fields of the mask.

        Raises:
            InvalidArgument: A field cannot be changed, or its value is not valid.
            Aborted: The etag is that of an earlier state.
        """
        name = self._project.canonical(request.dataset.name)
        with self._lock:
            seen = self._datasets.get(name)
            if request.dataset.etag and request.dataset.etag != seen.etag:
                raise Aborted(
                    f"dataset.etag {request.dataset.etag!r}: {name} has changed; its etag is {seen.etag}"
                )
            dataset = self._stored(name)
            system = {key: text for key, text in dataset.labels.items() if "/" in key}
            change(dataset, request.dataset, request.update_mask.paths, _MUTABLE)
            _check_display_name(dataset.display_name)
            dataset.labels = {**dataset.labels, **system}
            dataset.update_time = timestamp(time.time())
            self._datasets.save(name, dataset)
        return self._datasets.get(name)

    def delete_dataset(self, request: v1.DeleteDatasetRequest, context: Any) -> Operation:
        """Removes a Dataset with its items and versions; files on Cloud Storage stay."""
        name = self._project.canonical(request.name)
        self._datasets.get(name)
        for kind in ("annotation", "dataItem", "annotationSpec", "importFormat", "datasetVersion"):
            for each in self._store.names(kind, f"{name}/"):
                self._store.delete(each)
        self._store.delete(name)
        return self._operations.done(name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def import_data(self, request: v1.ImportDataRequest, context: Any) -> Operation:
        """Imports the items of an unstructured Dataset; all lines are checked before one of them counts.

        Raises:
            FailedPrecondition: The Dataset is a table, whose data are where its metadata say.
            InvalidArgument: A config is not valid.
        """
        name = self._project.canonical(request.name)
        dataset = self._datasets.get(name)
        if _kind(dataset) in _TABLES:
            raise FailedPrecondition(
                f"{name}: a {_kind(dataset)} Dataset takes no import: its metadata name its data"
            )
        if not request.import_configs:
            raise InvalidArgument("import_configs: empty; expected at least one")
        for number, config in enumerate(request.import_configs):
            where = f"import_configs[{number}]"
            try:
                format_of(config.import_schema_uri)
            except ValueError as error:
                raise InvalidArgument(f"{where}.{error}") from None
            for uri in config.gcs_source.uris or [""]:
                if not _GCS.fullmatch(uri):
                    raise InvalidArgument(f"{where}.gcs_source.uris: {uri!r}; expected gs://BUCKET/OBJECT")
        request.name = name
        asked = v1.ImportDataRequest.serialize(request)
        return self._operations.begin(name, "importData", asked, v1.ImportDataOperationMetadata())

    def export_data(self, request: v1.ExportDataRequest, context: Any) -> Operation:
        """Writes the data of a Dataset to Cloud Storage.

        Raises:
            InvalidArgument: The destination is not valid.
        """
        name = self._project.canonical(request.name)
        dataset = self._datasets.get(name)
        destination = request.export_config.gcs_destination.output_uri_prefix
        if not destination.startswith("gs://"):
            raise InvalidArgument(
                f"export_config.gcs_destination.output_uri_prefix {destination!r}: expected gs://BUCKET/…"
            )
        folder = export_folder(destination, dataset.display_name, time.time())
        request.name = name
        request.export_config.gcs_destination.output_uri_prefix = folder
        asked = v1.ExportDataRequest.serialize(request)
        metadata = v1.ExportDataOperationMetadata(gcs_output_directory=folder)
        return self._operations.begin(name, "exportData", asked, metadata)

    def list_data_items(self, request: v1.ListDataItemsRequest, context: Any) -> v1.ListDataItemsResponse:
        """The items of a Dataset."""
        prefix = f"{self._project.canonical(request.parent)}/dataItems/"
        found, token = self._items.items.page(self._items.items.all(prefix), request)
        return v1.ListDataItemsResponse(data_items=found, next_page_token=token)

    def list_annotations(
        self, request: v1.ListAnnotationsRequest, context: Any
    ) -> v1.ListAnnotationsResponse:
        """The annotations of an item."""
        prefix = f"{self._project.canonical(request.parent)}/annotations/"
        found, token = self._items.annotations.page(self._items.annotations.all(prefix), request)
        return v1.ListAnnotationsResponse(annotations=found, next_page_token=token)

    def get_annotation_spec(self, request: v1.GetAnnotationSpecRequest, context: Any) -> v1.AnnotationSpec:
        """What annotations say: one label."""
        return self._items.specs.get(self._project.canonical(request.name))

    def create_dataset_version(self, request: v1.CreateDatasetVersionRequest, context: Any) -> Operation:
        """Keeps the Dataset's metadata of now under a version's name."""
        parent = self._project.canonical(request.parent)
        dataset = self._datasets.get(parent)
        now = timestamp(time.time())
        version = v1.DatasetVersion(
            name=f"{parent}/datasetVersions/{new_id()}",
            display_name=request.dataset_version.display_name,
            metadata=dataset.metadata,
            create_time=now,
            update_time=now,
        )
        self._versions.save(version.name, version)
        return self._operations.done(version.name, version, v1.CreateDatasetVersionOperationMetadata())

    def get_dataset_version(self, request: v1.GetDatasetVersionRequest, context: Any) -> v1.DatasetVersion:
        """A version."""
        return self._versions.get(self._project.canonical(request.name))

    def list_dataset_versions(
        self, request: v1.ListDatasetVersionsRequest, context: Any
    ) -> v1.ListDatasetVersionsResponse:
        """The versions of a Dataset."""
        prefix = f"{self._project.canonical(request.parent)}/datasetVersions/"
        found, token = self._versions.page(self._versions.all(prefix), request)
        return v1.ListDatasetVersionsResponse(dataset_versions=found, next_page_token=token)

    def delete_dataset_version(self, request: v1.DeleteDatasetVersionRequest, context: Any) -> Operation:
        """Forgets a version."""
        name = self._project.canonical(request.name)
        self._versions.get(name)
        self._store.delete(name)
        return self._operations.done(name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def columns(self, name: str) -> list[str] | None:
        """The columns of a Dataset's table; None for a Dataset of items.

        Raises:
            NotFound: There is no such Dataset.
            ValueError: A file of the table is missing, or its header is not valid.
        """
        dataset = self._datasets.get(name)
        return self._exports.table(dataset).columns if _kind(dataset) in _TABLES else None

    def export_for_training(self, name: str, config: dict, folder: str) -> Exported:
        """Writes the data of a Dataset split into the sets of a training; see `DatasetExports`."""
        return self._exports.for_training(self._stored(name), config, folder)

    def _import(self, asked: bytes, cancelled: threading.Event) -> v1.ImportDataResponse:
        """Does an import; once more is as good as once.

        Raises:
            InvalidArgument: A line or an image is not valid; nothing of its config was added.
        """
        request = v1.ImportDataRequest.deserialize(asked)
        try:
            for config in request.import_configs:
                self._import_config(request.name, config, cancelled)
        except ValueError as error:
            raise InvalidArgument(str(error)) from None
        return v1.ImportDataResponse()

    def _import_config(self, name: str, config: v1.ImportDataConfig, cancelled: threading.Event) -> None:
        form = format_of(config.import_schema_uri)
        uris = [found for uri in config.gcs_source.uris for found in self._objects.matching(uri)]

        def items() -> Iterator[Item]:
            for uri in uris:
                for item in items_of(self._objects, uri, form):
                    if cancelled.is_set():
                        raise Cancelled
                    yield item

        self._items.add(name, items(), config, form)
        with self._lock:
            dataset = self._stored(name)
            dataset.update_time = timestamp(time.time())
            self._datasets.save(name, dataset)
        self._exports.note_format(name, form)

    def _export(self, asked: bytes, cancelled: threading.Event) -> v1.ExportDataResponse:
        """Does an export; once more is as good as once.

        Raises:
            InvalidArgument: The data cannot be read or split so, or not be written there.
        """
        request = v1.ExportDataRequest.deserialize(asked)
        config = request.export_config
        folder = config.gcs_destination.output_uri_prefix
        try:
            dataset = self._stored(request.name)
            if config.export_use != v1.ExportDataConfig.ExportUse.CUSTOM_CODE_TRAINING:
                return v1.ExportDataResponse(exported_files=self._exports.whole(dataset, folder))
            plain = json_format.MessageToDict(v1.ExportDataConfig.pb(config))
            exported = self._exports.for_training(dataset, plain, folder)
        except ValueError as error:
            raise InvalidArgument(str(error)) from None
        counts = {f"{name}_data_items_count": count for name, count in exported.counts.items()}
        return v1.ExportDataResponse(
            exported_files=[exported.uri(name) for name in exported.counts],
            data_stats=v1.Model.DataStats(**counts),
        )

    def _stored(self, name: str) -> v1.Dataset:
        dataset = self._datasets.find(name)
        if dataset is None:
            raise ValueError(f"Dataset {name!r} was deleted meanwhile")
        return dataset

    def _presented(self, dataset: v1.Dataset) -> v1.Dataset:
        dataset.etag = etag(dataset)
        if _kind(dataset) not in _TABLES:
            dataset.data_item_count = self._items.count(dataset.name)
        return dataset


def _kind(dataset: v1.Dataset) -> str:
    return str(dataset.metadata_schema_uri.removeprefix(_METADATA).removesuffix("_1.0.0.yaml"))


def _checked_kind(uri: str) -> str:
    kind = uri.removeprefix(_METADATA).removesuffix("_1.0.0.yaml")
    if kind in _SHUT_DOWN:
        raise InvalidArgument(f"dataset.metadata_schema_uri: {kind} Datasets: {_SHUT_DOWN[kind]}")
    if kind not in _KINDS or not uri.startswith(_METADATA):
        known = ", ".join(f"{_METADATA}{each}_1.0.0.yaml" for each in _KINDS)
        raise InvalidArgument(f"dataset.metadata_schema_uri {uri!r}: expected one of {known}")
    return kind


def _check_display_name(name: str) -> None:
    if not 0 < len(name) <= 128:
        raise InvalidArgument(f"dataset.display_name {name!r}: expected 1 to 128 characters")


def _check_source(metadata: Any) -> None:
    """The one source of a table: `inputConfig.gcsSource.uri` or `inputConfig.bigquerySource.uri`."""
    config = (metadata or {}).get("inputConfig") or {}
    sources = [field for field in ("gcsSource", "bigquerySource") if config.get(field)]
    if len(sources) != 1:
        raise InvalidArgument(
            "dataset.metadata.inputConfig: expected either gcsSource or bigquerySource"
            f", found {' and '.join(sources) or 'neither'}"
        )
    where = f"dataset.metadata.inputConfig.{sources[0]}.uri"
    given = config[sources[0]].get("uri") or [""]
    uris = given if isinstance(given, list) else [given]
    pattern, expected = (
        (_GCS, "gs://BUCKET/FILE.csv")
        if sources[0] == "gcsSource"
        else (_BIGQUERY, "bq://PROJECT.DATASET.TABLE")
    )
    for uri in uris:
        if not pattern.fullmatch(str(uri)):
            raise InvalidArgument(f"{where}: {uri!r}; expected {expected}")
