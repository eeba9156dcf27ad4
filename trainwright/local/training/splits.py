"""How the data of a training is split into the sets "training", "validation" and "test".

After InputDataConfig and its splits (google-cloud-aiplatform 1.165.1, types/training_pipeline.py). Where
Vertex AI draws at random, the hash of the content decides here: the same data are always split alike,
whatever their order, and two equal rows fall on the same side.
"""

import bisect
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trainwright.local.training.tables import DataError, Table

SETS = ("training", "validation", "test")
_DEFAULT = (0.8, 0.1, 0.1)
_STRATA = 500  # "Only the top 500 occurring values are used", StratifiedSplit
_LEAST_IN_STRATUM = 3
# The words of the API, and those of the documentation of AutoML ("About data splits", 2026-08-22).
_PREDEFINED = {
    **{name: name for name in SETS},
    "train": "training",
    "validate": "validation",
}
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

Rule = Callable[[Sequence[str]], str | None]
"""From a row to its set; None for a row that is left out."""


@dataclass(frozen=True)
class Split:
    """A split as asked for.

    Args:
        kind: "fraction", "filter", "predefined", "timestamp" or "stratified".
        fractions: Of the sets, in their order; they sum to 1.
        key: The column, where a column decides.
        filters: Of the sets, in their order, for items of an unstructured Dataset.
        is_default: Whether nothing was asked for.
    """

    kind: str = "fraction"
    fractions: tuple[float, float, float] = _DEFAULT
    key: str = ""
    filters: tuple[str, str, str] = ("-", "-", "-")
    is_default: bool = False


def split_of(config: dict) -> Split:
    """Reads the split of an InputDataConfig or ExportDataConfig in camelCase JSON.

    Raises:
        ValueError: It is not valid; one line that names the field.
    """
    for field, kind in (
        ("fractionSplit", "fraction"),
        ("timestampSplit", "timestamp"),
        ("stratifiedSplit", "stratified"),
    ):
        if field in config:
            asked = config[field]
            if kind != "fraction" and not asked.get("key"):
                raise ValueError(f"{field}.key: empty; expected the name of a column")
            return Split(kind, _fractions(asked, field), key=asked.get("key", ""))
    if "filterSplit" in config:
        asked = config["filterSplit"]
        for name in SETS:
            if not asked.get(f"{name}Filter"):
                raise ValueError(f"filterSplit.{name}Filter: empty; expected a filter, or '-' for nothing")
        first, second, third = (asked[f"{name}Filter"] for name in SETS)
        return Split("filter", filters=(first, second, third))
    if "predefinedSplit" in config:
        if not config["predefinedSplit"].get("key"):
            raise ValueError("predefinedSplit.key: empty; expected the name of a column")
        return Split("predefined", key=config["predefinedSplit"]["key"])
    return Split(is_default=True)


def rule_of(table: Table, split: Split) -> Rule:
    """What decides the set of each row of a table; reads the table once where that needs all of it.

    Raises:
        DataError: The table has no such column, or none of its rows a usable value in it.
        ValueError: The split is by filters, which only Datasets of items have.
    """
    if split.kind == "filter":
        raise ValueError("filterSplit: a table has no data items to filter; expected another split")
    if split.kind == "fraction":
        return lambda row: set_of_share(share_of(row), split.fractions)
    column = table.index(split.key, f"{split.kind}Split.key")
    if split.kind == "predefined":
        return lambda row: _PREDEFINED.get(row[column].lower())
    if split.kind == "timestamp":
        return _by_time(table, split, column)
    return _by_stratum(table, split, column)


def _by_time(table: Table, split: Split, column: int) -> Rule:
    """The earliest rows to training, the latest to test, as AutoML's documentation puts it.

    A row without a timestamp in RFC 3339 and UTC is left out.
    """
    times = sorted(row[column] for row in table.rows() if _TIMESTAMP.fullmatch(row[column]))
    if not times:
        raise DataError(
            f"timestampSplit.key {split.key!r}: no row has a time such as 1985-04-12T23:20:50.52Z in it"
        )
    first, second, _ = split.fractions
    limits = [times[min(round(len(times) * share), len(times) - 1)] for share in (first, first + second)]

    def rule(row: Sequence[str]) -> str | None:
        if not _TIMESTAMP.fullmatch(row[column]):
            return None
        return SETS[bisect.bisect_right(limits, row[column])]

    return rule


def _by_stratum(table: Table, split: Split, column: int) -> Rule:
    """The same fractions of each of the frequent values; rows of the others by their own hash."""
    shares: dict[str, list[float]] = {}
    counts = Counter(row[column] for row in table.rows())
    frequent = {value for value, count in counts.most_common(_STRATA) if value and count >= _LEAST_IN_STRATUM}
    for row in table.rows():
        if row[column] in frequent:
            shares.setdefault(row[column], []).append(share_of(row))
    for each in shares.values():
        each.sort()

    def rule(row: Sequence[str]) -> str:
        share = share_of(row)
        if row[column] in frequent:
            others = shares[row[column]]
            share = bisect.bisect_left(others, share) / len(others)
        return set_of_share(share, split.fractions)

    return rule


def share_of(values: Iterable[str]) -> float:
    """A number in [0, 1) that the values alone decide, evenly spread."""
    text = "\x1f".join(values)
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:8], 16) / 2**32


def set_of_share(share: float, fractions: tuple[float, float, float]) -> str:
    """The set in which a share of [0, 1) falls."""
    first, second, _ = fractions
    return SETS[0] if share < first else SETS[1] if share < first + second else SETS[2]


def _fractions(asked: dict, field: str) -> tuple[float, float, float]:
    """The fractions of a split; what they leave over goes to training."""
    first, second, third = (float(asked.get(f"{name}Fraction", 0.0)) for name in SETS)
    total = first + second + third
    if min(first, second, third) < 0 or total > 1 + 1e-9:
        raise ValueError(
            f"{field}: {first:g}, {second:g} and {third:g}; expected fractions from 0 that sum to at most 1"
        )
    return _DEFAULT if total == 0 else (1 - second - third, second, third)
