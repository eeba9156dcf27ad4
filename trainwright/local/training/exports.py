"""Writes the data of a Dataset to Cloud Storage, as the files that a training reads."""

import contextlib
import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from trainwright.local.storage import PlainObjects
from trainwright.local.training.splits import SETS, Split, rule_of
from trainwright.local.training.tables import DataError, Table

_SHARD = "00001-of-00001"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        data_format: "csv" or "jsonl".
        directory: Of the files, ends with "/".
        counts: Rows or items by set.
    """

    data_format: str
    directory: str
    counts: dict[str, int]

    def uri(self, name: str) -> str:
        """The files of a set, with a wildcard, as in AIP_TRAINING_DATA_URI."""
        return f"{self.directory}{name}-*.{self.data_format}"

    def environment(self) -> dict[str, str]:
        """The variables of a training container (documentation, "Use managed datasets", 2026-08-22)."""
        return {
            "AIP_DATA_FORMAT": self.data_format,
            **{f"AIP_{name.upper()}_DATA_URI": self.uri(name) for name in SETS},
        }


def export_table(objects: PlainObjects, table: Table, split: Split, directory: str) -> Exported:
    """Writes the rows of a table into one CSV file with a header for each set.

    Args:
        objects: Cloud Storage.
        table: The rows.
        split: How they are split.
        directory: `gs://` folder, ends with "/"; what is there under the same names is replaced.

    Raises:
        DataError: The table cannot be read or split so, or no row falls into training.
        ValueError: The directory cannot be written.
    """
    rule = rule_of(table, split)
    counts = dict.fromkeys(SETS, 0)
    with contextlib.ExitStack() as stack:
        writers = {}
        for name in SETS:
            file = stack.enter_context(objects.writing(f"{directory}{name}-{_SHARD}.csv"))
            writers[name] = csv.writer(file, lineterminator="\n")
            writers[name].writerow(table.columns)
        for row in table.rows():
            if chosen := rule(row):
                writers[chosen].writerow(row)
                counts[chosen] += 1
        if not counts["training"]:
            raise DataError(f"{directory}: no row falls into the training set of the {split.kind} split")
    return Exported("csv", directory, counts)


def export_items(
    objects: PlainObjects, items: Iterable[Any], rule: Callable[[Any], str | None], directory: str
) -> Exported:
    """Writes items as JSON Lines, one file for each set.

    Args:
        objects: Cloud Storage.
        items: JSON objects in the format of their import.
        rule: From an item to its set, None for one that is left out.
        directory: As in `export_table`.

    Raises:
        DataError: No item falls into training.
        ValueError: The directory cannot be written.
    """
    counts = dict.fromkeys(SETS, 0)
    with contextlib.ExitStack() as stack:
        written = {
            name: stack.enter_context(objects.writing(f"{directory}{name}-{_SHARD}.jsonl")) for name in SETS
        }
        for item in items:
            if chosen := rule(item):
                written[chosen].write(json.dumps(item, ensure_ascii=False) + "\n")
                counts[chosen] += 1
        if not counts["training"]:
            raise DataError(f"{directory}: no data item falls into the training set")
    return Exported("jsonl", directory, counts)
