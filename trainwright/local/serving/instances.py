"""Instances of batch predictions: from lines of files to what a model server gets and what is written of it.

Pure functions. The formats: Vertex AI documentation, "Get batch inferences from a custom trained model", and
the reference of BatchPredictionJob.InstanceConfig (google-cloud-aiplatform 1.165.1), both 2026-08.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

FORMATS = ("jsonl", "csv", "file-list")


class Malformed(ValueError):
    """A line of an input file is not what its format says; the message is one line."""


@dataclass(frozen=True)
class Instance:
    """One row of the input.

    Args:
        sent: What the model server gets.
        shown: What stands beside the prediction in the output: {"instance": …} or {"key": …}.
    """

    sent: Any
    shown: dict[str, Any]


@dataclass(frozen=True)
class InstanceConfig:
    """How rows become instances: BatchPredictionJob.InstanceConfig.

    Args:
        instance_type: "object", "array" or "" for what the row is.
        key_field: Stands in the output for the instance, and is not sent.
        included_fields: Those that are sent, in this order; empty: all.
        excluded_fields: Those that are not sent; they stand in the output nevertheless.
    """

    instance_type: str = ""
    key_field: str = ""
    included_fields: Sequence[str] = field(default_factory=tuple)
    excluded_fields: Sequence[str] = field(default_factory=tuple)

    @property
    def selects(self) -> bool:
        """Whether it needs the names of fields."""
        return bool(self.key_field or self.included_fields or self.excluded_fields)


def check(config: InstanceConfig, instances_format: str) -> None:
    """Says whether a configuration fits a format.

    Args:
        config: How rows become instances.
        instances_format: One of `FORMATS`.

    Raises:
        ValueError: It does not; one line that names the field.
    """
    if config.instance_type not in ("", "object", "array"):
        raise ValueError(f"instanceConfig.instanceType {config.instance_type!r}: expected object or array")
    if config.included_fields and config.excluded_fields:
        raise ValueError("instanceConfig: has both includedFields and excludedFields; expected one of them")
    if config.instance_type and instances_format != "jsonl":
        raise ValueError(f"instanceConfig.instanceType does not apply to {instances_format}")
    if config.selects and instances_format == "file-list":
        raise ValueError("instanceConfig: a file-list has no fields")
    if (config.included_fields or config.excluded_fields) and instances_format == "csv":
        raise ValueError("instanceConfig: includedFields and excludedFields do not apply to csv")


def read_jsonl(lines: Iterable[str], config: InstanceConfig) -> Iterator[Instance | Malformed]:
    """The instances of JSON Lines; a line that is none becomes an error in its place."""
    for line in lines:
        if not line.strip():
            continue
        try:
            yield _of_row(json.loads(line), config)
        except ValueError as error:
            yield Malformed(f"{line.strip()[:200]}: {error}")


def read_csv(lines: Iterator[str], config: InstanceConfig) -> Iterator[Instance | Malformed]:
    """The instances of a CSV file with a header: arrays; what is not quoted is a number."""
    header = next(csv.reader([next(lines, "")]), [])
    rows = csv.reader(lines, quoting=csv.QUOTE_NONNUMERIC)
    while True:
        try:
            row: list[Any] = next(rows)
        except StopIteration:
            return
        except (csv.Error, ValueError) as error:
            yield Malformed(f"CSV line {rows.line_num + 1}: {error}; strings need double quotation marks")
            continue
        if len(row) != len(header):
            yield Malformed(f"CSV line {rows.line_num + 1}: {len(row)} cells; expected {len(header)}")
        elif config.key_field:
            named = dict(zip(header, row, strict=True))
            if config.key_field not in named:
                yield Malformed(f"there is no column {config.key_field!r}")
            else:
                sent = [value for name, value in named.items() if name != config.key_field]
                yield Instance(sent, {"key": named[config.key_field]})
        else:
            yield Instance(row, {"instance": row})


def _of_row(row: Any, config: InstanceConfig) -> Instance:
    """The instance that a row of JSON Lines is.

    Raises:
        ValueError: It has not the fields that the configuration names.
    """
    if not isinstance(row, dict):
        if config.selects or config.instance_type == "object":
            raise ValueError("expected a JSON object")
        return Instance(row, {"instance": row})
    named = [*config.included_fields, *([config.key_field] if config.key_field else [])]
    if missing := [name for name in named if name not in row]:
        raise ValueError(f"has no field {missing[0]!r}")
    if config.included_fields:
        sent: Any = {name: row[name] for name in config.included_fields}
    else:
        left_out = {config.key_field, *config.excluded_fields}
        sent = {name: value for name, value in row.items() if name not in left_out}
    if config.instance_type == "array":
        if not config.included_fields:
            raise ValueError("instanceType array of an object needs includedFields for the order")
        sent = list(sent.values())
    if config.key_field:
        return Instance(sent, {"key": row[config.key_field]})
    excluded = {name: row[name] for name in config.excluded_fields if name in row}
    return Instance(sent, {"instance": sent, **excluded})


def batches(instances: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of `size`, the last one shorter."""
    batch: list[Any] = []
    for instance in instances:
        batch.append(instance)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
