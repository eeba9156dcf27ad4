"""From a table's texts to numbers: fitted on training rows, kept in the model, the same when it serves."""

import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

Columns = Mapping[str, Sequence[str]]
"""The table by column; an empty text is a missing value."""

_MOST_CATEGORIES = 1000
_ONE_HOT = 50  # of the frequent categories, for the linear models
_WORDS = 32  # hashed counts of words for each text
_TEXT_WORDS = 3.0  # more on average in mostly different values make a text, not a category


@dataclass
class Column:
    """How one column becomes numbers.

    Attributes:
        name: Of the column.
        kind: "numeric", "categorical", "timestamp" or "text".
        categories: The known ones, frequent first.
        centre: Mean of each number it becomes, for the linear models.
        scale: Their standard deviations.
    """

    name: str
    kind: str
    categories: list[str] = field(default_factory=list)
    centre: list[float] = field(default_factory=list)
    scale: list[float] = field(default_factory=list)


class Features:
    """The columns that a model sees."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = list(columns)
        self._codes = [
            {value: code for code, value in enumerate(column.categories)} for column in self.columns
        ]

    @classmethod
    def fit(cls, table: Columns, kinds: Mapping[str, str]) -> "Features":
        """Learns the columns from training rows.

        Args:
            table: The rows.
            kinds: By column; "auto" is found out from the values.
        """
        columns = []
        for name, asked in kinds.items():
            values = table[name]
            kind = _kind(values) if asked == "auto" else asked
            column = Column(name, kind)
            if kind == "categorical":
                counts = Counter(value for value in values if value)
                frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
                column.categories = [v for v, n in frequent[:_MOST_CATEGORIES] if n > 1]
            else:
                numbers = _numbers(values, kind)
                with np.errstate(invalid="ignore"):
                    known = ~np.isnan(numbers)
                    count = np.maximum(known.sum(axis=0), 1)
                    mean = np.where(known, numbers, 0).sum(axis=0) / count
                    spread = np.sqrt(np.where(known, (numbers - mean) ** 2, 0).sum(axis=0) / count)
                column.centre, column.scale = mean.tolist(), np.where(spread > 0, spread, 1).tolist()
            columns.append(column)
        return cls(columns)

    @property
    def categorical(self) -> list[int]:
        """The positions of the categories' codes among the numbers for trees."""
        positions, start = [], 0
        for column in self.columns:
            if column.kind == "categorical":
                positions.append(start)
            start += len(column.centre) or 1
        return positions

    def for_trees(self, table: Columns) -> np.ndarray:
        """The rows as numbers; categories as codes, missing and unknown values as NaN."""
        blocks = []
        for column, codes in zip(self.columns, self._codes, strict=True):
            values = table[column.name]
            if column.kind == "categorical":
                blocks.append(np.array([[codes.get(value, np.nan)] for value in values], dtype=float))
            else:
                blocks.append(_numbers(values, column.kind))
        return np.hstack(blocks)

    def for_lines(self, table: Columns) -> np.ndarray:
        """The rows as scaled numbers and one column a category, without missing values."""
        blocks = []
        for column, codes in zip(self.columns, self._codes, strict=True):
            values = table[column.name]
            if column.kind == "categorical":
                found = np.array([codes.get(value, _ONE_HOT) for value in values])
                blocks.append((found[:, None] == np.arange(min(len(codes), _ONE_HOT))).astype(float))
            else:
                scaled = (_numbers(values, column.kind) - column.centre) / column.scale
                blocks.append(np.clip(np.nan_to_num(scaled), -10, 10))
        return np.hstack(blocks)

    def json(self) -> list[dict[str, Any]]:
        """The columns as JSON."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_json(cls, columns: Sequence[dict[str, Any]]) -> "Features":
        """What `json` gave."""
        return cls([Column(**column) for column in columns])


def number_of(text: str) -> float:
    """The number that a text is; NaN where it is none."""
    try:
        number = float(text)
    except ValueError:
        return np.nan
    return number if np.isfinite(number) else np.nan


def text_of(value: Any) -> str:
    """A value of a prediction's JSON as the text that it would be in a CSV file."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, (list, dict)) else str(value)


def _kind(values: Sequence[str]) -> str:
    """What the values of a column are, if nobody says."""
    known = [value for value in values if value]
    distinct = set(known)
    if not any(np.isnan(number_of(value)) for value in distinct):
        return "numeric"
    if not any(np.isnan(_moment(value)) for value in distinct):
        return "timestamp"
    words = sum(len(value.split()) for value in known) / len(known)
    return "text" if words > _TEXT_WORDS and len(distinct) > len(known) / 2 else "categorical"


def _numbers(values: Sequence[str], kind: str) -> np.ndarray:
    if kind == "numeric":
        return np.array([[number_of(value)] for value in values])
    if kind == "timestamp":
        return np.array([_calendar(value) for value in values])
    return np.array([_word_counts(value) for value in values])


def _moment(text: str) -> float:
    """Unix seconds of an ISO 8601 time or date, UTC unless it says otherwise; NaN where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return np.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _calendar(text: str) -> list[float]:
    seconds = number_of(text) if text.replace(".", "", 1).isdigit() else _moment(text)
    if np.isnan(seconds):
        return [np.nan] * 5
    moment = datetime.fromtimestamp(seconds, UTC)
    return [seconds, moment.month, moment.day, moment.weekday(), moment.hour]


def _word_counts(text: str) -> list[float]:
    counts = np.zeros(_WORDS + 1)
    for word in text.lower().split():
        counts[zlib.crc32(word.encode()) % _WORDS] += 1
    counts[_WORDS] = len(text)
    return np.log1p(counts).tolist()
