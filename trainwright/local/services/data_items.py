"""Items of unstructured Datasets as records: data items, their annotations, and what those say."""

import hashlib
import time
from collections.abc import Iterable, Iterator
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format

from trainwright.local.services.resources import Resources, timestamp
from trainwright.local.storage import PlainObjects
from trainwright.local.store import Store
from trainwright.local.training.imports import ImportFormat, Item
from trainwright.local.training.tables import DataError

_MOST_BYTES = 30 * 10**6  # AutoML image documentation, "Prepare image training data", 2026-08-22
_SIGNATURES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"\x00\x00\x01\x00": "image/vnd.microsoft.icon",
}


class DataItems:
    """The items of all Datasets.

    Args:
        store: Kinds "dataItem", "annotation" and "annotationSpec"; each below the name of what it is in.
        objects: Cloud Storage.
    """

    def __init__(self, store: Store, objects: PlainObjects) -> None:
        self._store = store
        self._objects = objects
        self.items: Resources[v1.DataItem] = Resources(store, "dataItem", v1.DataItem)
        self.annotations: Resources[v1.Annotation] = Resources(store, "annotation", v1.Annotation)
        self.specs: Resources[v1.AnnotationSpec] = Resources(store, "annotationSpec", v1.AnnotationSpec)

    def count(self, dataset: str) -> int:
        """How many items a Dataset has."""
        return len(self._store.names("dataItem", f"{dataset}/dataItems/"))

    def add(
        self, dataset: str, items: Iterable[Item], config: v1.ImportDataConfig, form: ImportFormat
    ) -> None:
        """Adds imported items, all in one step. An image that is there already keeps its item.

        Args:
            dataset: Name of the Dataset.
            items: What the import files say.
            config: The labels for all of them.
            form: Of the import files.

        Raises:
            DataError: A line of an import file or an image is not valid; nothing was added.
        """
        records: dict[str, tuple[str, str, bytes]] = {}
        for item in items:
            digest, media_type = self._image(item)
            name = f"{dataset}/dataItems/{_id(digest)}"
            records[name] = (name, "dataItem", self._item(name, item, config, media_type, records))
            for annotation in item.annotations:
                for record in _annotation(dataset, name, annotation, config, form):
                    records[record[0]] = record
        if not records:
            raise DataError(f"{', '.join(config.gcs_source.uris)}: no line in them")
        self._store.write_many(records.values())

    def exported(self, dataset: str, form: ImportFormat | None) -> Iterator[dict[str, Any]]:
        """The items of a Dataset as JSON objects in the format of their import.

        Args:
            dataset: Name of the Dataset.
            form: Which annotations; None: items without any.
        """
        schema = form.annotation_schema_uri if form else ""
        by_item: dict[str, list[dict[str, Any]]] = {}
        for annotation in self.annotations.all(f"{dataset}/dataItems/"):
            if annotation.payload_schema_uri == schema:
                plain = json_format.MessageToDict(v1.Annotation.pb(annotation).payload)
                plain.pop("annotationSpecId")
                labels = dict(annotation.labels)
                item = annotation.name.partition("/annotations/")[0]
                by_item.setdefault(item, []).append(
                    plain | ({"annotationResourceLabels": labels} if labels else {})
                )
        for item in self.items.all(f"{dataset}/dataItems/"):
            line: dict[str, Any] = {
                "imageGcsUri": json_format.MessageToDict(v1.DataItem.pb(item).payload)["imageGcsUri"]
            }
            if form and item.name in by_item:
                found = by_item[item.name]
                line[form.field] = found if form.field.endswith("s") else found[0]
            if item.labels:
                line["dataItemResourceLabels"] = dict(item.labels)
            yield line

    def _image(self, item: Item) -> tuple[bytes, str]:
        """Digest and media type of an image.

        Raises:
            DataError: It is not there, too large, or of no type that Vertex AI takes.
        """
        try:
            content = self._objects.read(item.uri)
        except ValueError as error:
            raise DataError(f"{item.where}: {error}") from None
        found = next((name for start, name in _SIGNATURES.items() if content.startswith(start)), "")
        if not found:
            raise DataError(f"{item.where}: {item.uri}: expected a JPEG, PNG, GIF, BMP or ICO image")
        if len(content) > _MOST_BYTES:
            raise DataError(f"{item.where}: {item.uri}: {len(content):,} bytes; expected at most 30 MB")
        return hashlib.sha256(content).digest(), found

    def _item(
        self, name: str, item: Item, config: v1.ImportDataConfig, media_type: str, records: dict
    ) -> bytes:
        """The data item: a new one, or the one that is there with these labels too."""
        now = timestamp(time.time())
        known = v1.DataItem.deserialize(records[name][2]) if name in records else self.items.find(name)
        message = known or v1.DataItem(
            name=name, create_time=now, payload={"imageGcsUri": item.uri, "mimeType": media_type}
        )
        message.update_time = now
        message.labels = {**message.labels, **config.data_item_labels, **item.labels}
        return v1.DataItem.serialize(message)


def _annotation(
    dataset: str, item: str, annotation: dict[str, Any], config: v1.ImportDataConfig, form: ImportFormat
) -> Iterator[tuple[str, str, bytes]]:
    """The records of an annotation and of what it says."""
    now = timestamp(time.time())
    label = annotation["displayName"]
    labels = {**config.annotation_labels, **annotation.get("annotationResourceLabels", {})}
    spec = f"{dataset}/annotationSpecs/{_id(label.encode())}"
    message = v1.AnnotationSpec(name=spec, display_name=label, create_time=now, update_time=now)
    yield spec, "annotationSpec", v1.AnnotationSpec.serialize(message)
    payload = {key: value for key, value in annotation.items() if key != "annotationResourceLabels"}
    payload["annotationSpecId"] = spec.rpartition("/")[2]
    key = repr((form.annotation_schema_uri, sorted(payload.items()), sorted(labels.items())))
    name = f"{item}/annotations/{_id(key.encode())}"
    made = v1.Annotation(
        name=name,
        payload_schema_uri=form.annotation_schema_uri,
        payload=payload,
        create_time=now,
        update_time=now,
        labels=labels,
    )
    yield name, "annotation", v1.Annotation.serialize(made)


def _id(content: bytes) -> str:
    """19 decimal digits that the content decides, so that the same is imported once."""
    return str(int.from_bytes(hashlib.sha256(content).digest()[:7], "big") + 10**18)
