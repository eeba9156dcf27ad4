"""Prepared features as xgboost wants them."""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet
import xgboost

from ..runtime import UserError, fetch_part, read_bytes


@dataclass(frozen=True)
class Transform:
    """The fitted feature transform: its JSON, and what training needs of it."""

    content: bytes
    columns: list[str]
    """The features, in the order of training."""
    label: str
    """The label's name in the raw rows."""
    classes: list[Any]
    """The label's raw values behind 0 and 1."""


def read_transform(location: str) -> Transform:
    """Reads the transform's JSON.

    Raises:
        UserError: It is not the JSON of a transform.
    """
    content = read_bytes(location)
    try:
        described = json.loads(content)
        columns = [column["name"] for column in described["columns"]]
        return Transform(content, columns, described["label"], described["classes"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"--transform {location}: not a feature transform ({error!r})") from None


def read_matrix(
    location: str,
    argument: str,
    columns: list[str],
    label: str,
    folder: Path,
    threads: int,
    part: tuple[int, int] = (0, 1),
) -> xgboost.DMatrix:
    """Reads prepared rows, or one part of them.

    Args:
        location: Parquet, one file or a folder of them.
        argument: The argument that named it, for messages.
        columns: The features.
        label: The label's column.
        folder: For what must be downloaded.
        threads: Number of threads; 0 for all.
        part: Number of the part, from 0, and how many there are: of the files when there are enough of them,
            else of each file's rows.

    Raises:
        UserError: A column is missing, there are no rows, or the label is not 0 and 1, both present.
    """
    number, parts = part
    paths, by_files = fetch_part(location, folder, ".parquet", number, parts)
    table = pyarrow.concat_tables(_read(path, argument, [label, *columns]) for path in paths)
    if not by_files:
        first, last = (table.num_rows * edge // parts for edge in (number, number + 1))
        table = table.slice(first, last - first)
    if not table.num_rows:
        of_part = f" for replica {number} of {parts}" if parts > 1 else ""
        raise UserError(f"{argument} {location}: no rows{of_part}")
    values = _label(table.column(label), f"{argument} {location}: label {label!r}")
    features = numpy.column_stack([table.column(name).to_numpy().astype(numpy.float32) for name in columns])
    return xgboost.DMatrix(features, label=values, feature_names=columns, nthread=threads or None)


def _read(path: Path, argument: str, columns: list[str]) -> pyarrow.Table:
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{argument} {path.name}: not Parquet ({error})") from None
    for name in columns:
        if name not in file.schema_arrow.names:
            nearest = difflib.get_close_matches(name, file.schema_arrow.names, 1)
            hint = f"; nearest: {nearest[0]!r}" if nearest else ""
            raise UserError(f"{argument} {path.name}: no column {name!r}{hint}")
    return file.read(columns=columns)


def _label(column: pyarrow.ChunkedArray, where: str) -> numpy.ndarray:
    found = sorted(column.unique().to_pylist(), key=str)
    if len(found) == 1:
        raise UserError(f"{where} has one class only, {found[0]!r}: there is nothing to learn")
    if found != [0, 1]:
        shown = ", ".join(repr(value) for value in found[:5])
        raise UserError(f"{where}: expected 0 and 1, found {len(found)} values: {shown}")
    return column.to_numpy().astype(numpy.float32)
