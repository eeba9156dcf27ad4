"""Import files of image Datasets: JSON Lines and CSV to items with labels and annotations.

Formats: gs://google-cloud-aiplatform/schema/dataset/ioformat/image_*_io_format_1.0.0.yaml, as shown in
"Prepare image training data" (Vertex AI documentation, 2026-08-22).
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainwright.local.storage import PlainObjects
from trainwright.local.training.splits import SETS
from trainwright.local.training.tables import DataError

ML_USE = "aiplatform.googleapis.com/ml_use"
_IO_FORMATS = "gs://google-cloud-aiplatform/schema/dataset/ioformat/"
_ANNOTATIONS = "gs://google-cloud-aiplatform/schema/dataset/annotation/"
_CLASSIFICATION, _BOXES = "image_classification", "image_bounding_box"
_FORMATS = {
    "image_classification_single_label_io_format_1.0.0.yaml": (_CLASSIFICATION, "classificationAnnotation"),
    "image_classification_multi_label_io_format_1.0.0.yaml": (_CLASSIFICATION, "classificationAnnotations"),
    "image_bounding_box_io_format_1.0.0.yaml": (_BOXES, "boundingBoxAnnotations"),
}
_SIDES = ("xMin", "yMin", "xMax", "yMax")
_GCS = re.compile(r"gs://[^/]+/.+")


@dataclass(frozen=True)
class ImportFormat:
    """What an import schema stands for.

    Args:
        schema_uri: Of the import files.
        title: Of the annotations' schema, e.g. "image_classification".
        field: Where an item has its annotations: in a list, unless it is a single label.
    """

    schema_uri: str
    title: str
    field: str

    @property
    def annotation_schema_uri(self) -> str:
        """The schema of the annotations."""
        return f"{_ANNOTATIONS}{self.title}_1.0.0.yaml"


@dataclass(frozen=True)
class Item:
    """One line of an import file.

    Args:
        where: File and line, for messages.
        uri: `gs://` URI of the image.
        labels: Of the item.
        annotations: Each with `displayName`, sides of a box where there is one, and
            `annotationResourceLabels`.
    """

    where: str
    uri: str
    labels: dict[str, str]
    annotations: list[dict[str, Any]] = field(default_factory=list)


def format_of(schema_uri: str) -> ImportFormat:
    """The format that an import schema stands for.

    Raises:
        ValueError: None that is known here; one line.
    """
    name = schema_uri.removeprefix(_IO_FORMATS)
    if name not in _FORMATS:
        known = ", ".join(f"{_IO_FORMATS}{each}" for each in _FORMATS)
        raise ValueError(f"import_schema_uri {schema_uri!r}: expected one of {known}")
    return ImportFormat(schema_uri, *_FORMATS[name])


def items_of(objects: PlainObjects, uri: str, form: ImportFormat) -> Iterator[Item]:
    """The items of an import file, JSON Lines if its name ends in .jsonl, CSV otherwise.

    Raises:
        DataError: A line is not valid; one line that names file, line and field.
    """
    try:
        text = objects.read(uri).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{uri}: byte {error.object[error.start]:#04x} is no UTF-8 text") from None
    except ValueError as error:
        raise DataError(str(error)) from None
    if uri.endswith(".jsonl"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield _from_json(line, f"{uri}: line {number}", form)
    else:
        reader = csv.reader(io.StringIO(text))
        for row in reader:
            if any(cell.strip() for cell in row):
                yield _from_row([cell.strip() for cell in row], f"{uri}: line {reader.line_num}", form)


def _from_json(line: str, where: str, form: ImportFormat) -> Item:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: no JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(value, dict) or not _GCS.fullmatch(str(value.get("imageGcsUri", ""))):
        found = value.get("imageGcsUri") if isinstance(value, dict) else value
        raise DataError(f"{where}: imageGcsUri is {found!r}; expected gs://BUCKET/OBJECT")
    wrong = sorted(name for name in value if name.endswith(("Annotation", "Annotations")))
    if wrong and wrong != [form.field]:
        other = next(name for name in wrong if name != form.field)
        raise DataError(f"{where}: {other}: not of this import schema; expected {form.field}")
    given = value.get(form.field) or []
    annotations = given if isinstance(given, list) else [given]
    for each in annotations:
        _check_annotation(each, where, form)
    labels = {str(key): str(text) for key, text in (value.get("dataItemResourceLabels") or {}).items()}
    return Item(where, value["imageGcsUri"], labels, annotations)


def _from_row(row: Sequence[str], where: str, form: ImportFormat) -> Item:
    """A line `[ML_USE],GCS_FILE_PATH,[LABEL]…`, with a box of eight cells behind each label of boxes."""
    labels: dict[str, str] = {}
    cells = list(row)
    if not cells[0].startswith("gs://"):
        use = cells.pop(0).lower()
        if use not in (*SETS, "unassigned", ""):
            raise DataError(
                f"{where}: {use!r}; expected training, validation, test, UNASSIGNED or a gs:// path first"
            )
        if use in SETS:
            labels[ML_USE] = use
    if not cells or not _GCS.fullmatch(cells[0]):
        raise DataError(f"{where}: {cells[0] if cells else ''!r}; expected the path gs://BUCKET/OBJECT")
    uri, rest = cells[0], cells[1:]
    while rest and not rest[-1] and form.title != _BOXES:
        rest.pop()
    annotations: list[dict[str, Any]] = []
    if form.title == _BOXES and any(rest):
        box = rest[1:9]
        if len(box) < 6 or not all((box[0], box[1], box[4], box[5])):
            raise DataError(f"{where}: expected LABEL,X_MIN,Y_MIN,,,X_MAX,Y_MAX,, after the path")
        sides = zip(_SIDES, (box[0], box[1], box[4], box[5]), strict=True)
        annotations = [{"displayName": rest[0], **dict(sides)}]
    elif form.title != _BOXES:
        annotations = [{"displayName": label} for label in rest if label]
        if form.field == "classificationAnnotation" and len(annotations) > 1:
            raise DataError(
                f"{where}: {len(annotations)} labels; expected one, as the import schema is single-label"
            )
    for each in annotations:
        _check_annotation(each, where, form)
    return Item(where, uri, labels, annotations)


def _check_annotation(annotation: Any, where: str, form: ImportFormat) -> None:
    name = annotation.get("displayName") if isinstance(annotation, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= 128:
        raise DataError(f"{where}: {form.field}.displayName is {name!r}; expected 1 to 128 characters")
    if form.title != _BOXES:
        return
    for side in _SIDES:
        try:
            annotation[side] = float(annotation[side])
        except (KeyError, TypeError, ValueError):
            annotation[side] = -1.0
        if not 0 <= annotation[side] <= 1:
            raise DataError(f"{where}: {form.field}.{side}: expected a number from 0 to 1")
