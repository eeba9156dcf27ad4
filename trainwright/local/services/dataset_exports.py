"""The data of a Dataset as files on Cloud Storage, for a user and for a training."""

import csv
import json
import re
import time
from collections.abc import Callable
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format

from trainwright.local.services.data_items import DataItems
from trainwright.local.services.filters import compile_filter
from trainwright.local.storage import PlainObjects
from trainwright.local.store import Store
from trainwright.local.training.exports import Exported, export_items, export_table
from trainwright.local.training.imports import ML_USE, ImportFormat, format_of
from trainwright.local.training.splits import SETS, Split, set_of_share, share_of, split_of
from trainwright.local.training.tables import Table


def export_folder(destination: str, display_name: str, now: float) -> str:
    """The folder of an export, `export-data-<display name>-<YYYYMMDDHHMMSS>` (ExportDataConfig).

    Args:
        destination: `gs://` prefix.
        display_name: Of the Dataset; what no object's name should hold becomes "_".
        now: Unix seconds.
    """
    name = re.sub(r"[^\w.-]+", "_", display_name)
    return f"{destination.rstrip('/')}/export-data-{name}-{time.strftime('%Y%m%d%H%M%S', time.gmtime(now))}/"


class DatasetExports:
    """Exports of Datasets.

    Args:
        store: Remembers the format in which items were imported (kind "importFormat").
        objects: Cloud Storage.
        items: The items of unstructured Datasets.
    """

    def __init__(self, store: Store, objects: PlainObjects, items: DataItems) -> None:
        self._store = store
        self._objects = objects
        self._items = items

    def note_format(self, dataset: str, form: ImportFormat) -> None:
        """Remembers the format of an import: annotations of its schema are exported in it."""
        name = f"{dataset}/importFormats/{form.title}"
        self._store.write(name, "importFormat", form.schema_uri.encode())

    def table(self, dataset: v1.Dataset) -> Table:
        """The table of a tabular or time series Dataset.

        Raises:
            DataError: A file is missing or its header is not valid.
            ValueError: The table is in BigQuery, which is not read here.
        """
        config = json_format.MessageToDict(v1.Dataset.pb(dataset).metadata)["inputConfig"]
        if "bigquerySource" in config:
            raise ValueError(
                f"{config['bigquerySource']['uri']}: local Vertex reads Datasets from CSV files on Cloud"
                " Storage only; extract the table to CSV first"
            )
        uri = config["gcsSource"]["uri"]
        return Table(self._objects, uri if isinstance(uri, list) else [uri])

    def whole(self, dataset: v1.Dataset, folder: str) -> list[str]:
        """Writes all data of a Dataset; returns the files.

        A table becomes one CSV file. Items become JSON Lines in the format of their import, in a folder for
        each schema of annotations, beside a schema.yaml that names the format.
        """
        if not _is_table(dataset):
            return self._whole_items(dataset, folder)
        table, uri = self.table(dataset), f"{folder}data-00001-of-00001.csv"
        with self._objects.writing(uri) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(table.columns)
            writer.writerows(table.rows())
        return [uri]

    def for_training(self, dataset: v1.Dataset, config: dict, folder: str) -> Exported:
        """Writes the data of a Dataset split into the sets of a training.

        Args:
            dataset: The Dataset.
            config: InputDataConfig or ExportDataConfig as camelCase JSON.
            folder: `gs://` folder, ends with "/".

        Raises:
            DataError: The data cannot be read or split so.
            ValueError: The config is not valid.
        """
        split = split_of(config)
        if _is_table(dataset):
            return export_table(self._objects, self.table(dataset), split, folder)
        form = self._format(dataset.name, config.get("annotationSchemaUri", ""))
        rule = self._rule(split, config.get("annotationsFilter", ""))
        return export_items(self._objects, self._items.exported(dataset.name, form), rule, folder)

    def _whole_items(self, dataset: v1.Dataset, folder: str) -> list[str]:
        files = []
        formats: list[ImportFormat | None] = [*self._formats(dataset.name)]
        for form in formats or [None]:
            below = f"{folder}{form.title}/" if form else folder
            uri = f"{below}data-00001-of-00001.jsonl"
            with self._objects.writing(uri) as file:
                for item in self._items.exported(dataset.name, form):
                    file.write(json.dumps(item, ensure_ascii=False) + "\n")
            files.append(uri)
            if form:
                with self._objects.writing(f"{below}schema.yaml") as file:
                    file.write(f"title: {form.title}\nimportSchemaUri: {form.schema_uri}\n")
                files.append(f"{below}schema.yaml")
        return files

    def _formats(self, dataset: str) -> list[ImportFormat]:
        records = self._store.list("importFormat", f"{dataset}/importFormats/")
        return [format_of(record.payload.decode()) for record in records]

    def _format(self, dataset: str, annotation_schema_uri: str) -> ImportFormat | None:
        formats = self._formats(dataset)
        if not annotation_schema_uri:
            return formats[-1] if formats else None
        for form in formats:
            if form.annotation_schema_uri == annotation_schema_uri:
                return form
        known = ", ".join(form.annotation_schema_uri for form in formats) or "none"
        raise ValueError(
            f"annotationSchemaUri {annotation_schema_uri!r}: the Dataset has no such annotations, but {known}"
        )

    def _rule(self, split: Split, annotations_filter: str) -> Callable[[Any], str | None]:
        if annotations_filter:
            raise ValueError("annotationsFilter: not supported by local Vertex")
        if split.kind == "filter":
            # "-" matches nothing; the first of the three that matches decides (FilterSplit).
            named = zip(SETS, split.filters, strict=True)
            tests = [(name, compile_filter(text)) for name, text in named if text != "-"]
            return lambda item: next((name for name, test in tests if test(_filtered(item))), None)
        if split.kind != "fraction":
            raise ValueError(f"{split.kind}Split: supported only for tabular Datasets")

        def rule(item: Any) -> str:
            use = item.get("dataItemResourceLabels", {}).get(ML_USE)
            if split.is_default and use in SETS:
                return str(use)
            return set_of_share(share_of([item["imageGcsUri"]]), split.fractions)

        return rule


def _filtered(item: Any) -> dict:
    """An item as filters see it: its labels."""
    return {"labels": item.get("dataItemResourceLabels", {})}


def _is_table(dataset: v1.Dataset) -> bool:
    return dataset.metadata_schema_uri.endswith(("/tabular_1.0.0.yaml", "/time_series_1.0.0.yaml"))
