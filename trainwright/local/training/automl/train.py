"""The training program: reads the sets, searches, evaluates on the test set, writes the model directory.

    python -m automl.train FOLDER

FOLDER is where `program.zip` and `config.json` were found (see `Config`); AIP_MODEL_DIR says where to write.
"""

import csv
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import metrics
from .features import Columns, Features, number_of
from .model import Ensemble
from .search import Budget, Data, search

_FOLDS = 5
_MOST_CLASSES = 500  # documentation of AutoML tabular, "Target column", 2026-08-22
_LEAST_ROWS = 1000  # "1,000 to 100,000,000 rows", the same
_EVALUATION_SHARE = 0.05  # of the seconds, for what comes after the search


class DataError(ValueError):
    """The data cannot be trained on; one line that names the column and the row."""


@dataclass(frozen=True)
class Config:
    """What to train.

    Attributes:
        data: `gs://` folder of the sets, ends with "/".
        target: The target column.
        kind: "classification" or "regression".
        objective: As in AutoMlTablesInputs.optimization_objective; "": maximize-au-roc of two classes,
            minimize-log-loss of more.
        columns: Kind of each feature column: "auto", "numeric", "categorical", "timestamp" or "text".
        weight: The weight column, or "".
        recall, precision: For the objectives that need them.
        has_folds: Whether the split was at random, so that rows of training and validation can change places.
        seconds: Of the budget.
        models: Trials instead of seconds; 0: seconds.
        stops_early: Whether to end before the budget does when nothing gets better.
        seed: Of all that is drawn.
    """

    data: str
    target: str
    kind: str
    objective: str
    columns: dict[str, str]
    weight: str
    recall: float
    precision: float
    has_folds: bool
    seconds: float
    models: int
    stops_early: bool
    seed: int = 0


@dataclass
class Rows:
    """The rows of a set: values by column, what is to be predicted, and weights."""

    table: dict[str, list[str]]
    target: list[str]
    weight: np.ndarray


def main(folder: Path) -> None:
    """The program; ends with one line and status 1 when the data cannot be trained on."""
    from google.cloud import storage

    started = time.monotonic()
    config = Config(**json.loads((folder / "config.json").read_text()))
    client = storage.Client(project=os.environ.get("CLOUD_ML_PROJECT_ID"))
    try:
        sets = {name: _read(client, config, name) for name in ("training", "validation", "test")}
        ensemble, evaluation = train(config, sets, started)
    except DataError as error:
        raise SystemExit(str(error)) from None
    written(client, folder, ensemble, evaluation)


def written(client: Any, folder: Path, model: Any, evaluation: dict[str, Any]) -> None:
    """Writes the model directory.

    Args:
        client: Of Cloud Storage.
        folder: Has the program, which goes into the directory to serve the model.
        model: What has `save`.
        evaluation: Metrics.
    """
    bucket, _, prefix = os.environ["AIP_MODEL_DIR"].removeprefix("gs://").partition("/")
    with tempfile.TemporaryDirectory() as made:
        output = Path(made)
        model.save(output)
        (output / "evaluation.json").write_text(json.dumps(evaluation))
        shutil.copy(folder / "program.zip", output)
        for file in sorted(output.iterdir()):
            client.bucket(bucket).blob(prefix + file.name).upload_from_filename(str(file))


def train(config: Config, sets: dict[str, Rows], started: float) -> tuple[Ensemble, dict[str, Any]]:
    """The ensemble, and its metrics on the test set (empty without one).

    Args:
        config: What to train.
        sets: The rows of "training", "validation" and "test".
        started: When the budget began, of time.monotonic().

    Raises:
        DataError: The rows cannot be trained on.
    """
    count = sum(len(rows.target) for rows in sets.values())
    if count < _LEAST_ROWS:
        raise DataError(f"{count} rows; AutoML needs at least {_LEAST_ROWS:,}")
    classes = _classes(config, sets) if config.kind == "classification" else []
    if not config.objective:
        default = "maximize-au-roc" if len(classes) == 2 else "minimize-log-loss"
        config = replace(config, objective=default)
    table, truth, weight = _joined(config, sets, classes)
    features = Features.fit(table, config.columns)
    is_logarithmic = config.objective == "minimize-rmsle"
    data = Data(
        trees=features.for_trees(table),
        lines=features.for_lines(table),
        categorical=features.categorical,
        truth=np.log1p(truth) if is_logarithmic else truth,
        weight=weight,
        folds=_folds(config, len(sets["training"].target), len(truth), truth),
        class_count=len(classes),
        is_logarithmic=is_logarithmic,
    )
    seconds = config.seconds * (1 - _EVALUATION_SHARE)
    budget = Budget(None if config.models else started + seconds, config.models, config.stops_early)
    loss = metrics.loss_of(config.objective, recall=config.recall, precision=config.precision)
    members, weights, found = search(data, loss, _tree_objective(config, classes), budget, config.seed, say)
    off = truth[data.judged] - found if not classes else np.zeros(2)
    spread = (float(np.quantile(off, 0.025)), float(np.quantile(off, 0.975)))
    ensemble = Ensemble(config.target, classes, is_logarithmic, features, members, weights, spread)
    return ensemble, _evaluated(config, ensemble, sets["test"])


def _evaluated(config: Config, ensemble: Ensemble, rows: Rows) -> dict[str, Any]:
    if not rows.target:
        return {}
    found = ensemble.predict(rows.table)
    truth = _numbers(config, rows, "test", ensemble.classes)
    if ensemble.classes:
        return metrics.classification(truth, found, ensemble.classes)
    return metrics.regression(truth, found)


def _tree_objective(config: Config, classes: Sequence[str]) -> str:
    if classes:
        return "binary" if len(classes) == 2 else "multiclass"
    return "regression_l1" if config.objective == "minimize-mae" else "regression"


def _classes(config: Config, sets: dict[str, Rows]) -> list[str]:
    found = sorted({value for name in ("training", "validation") for value in sets[name].target})
    if not 2 <= len(found) <= _MOST_CLASSES:
        raise DataError(
            f"target column {config.target!r}: {len(found)} different values; expected 2 to {_MOST_CLASSES}"
        )
    if len(found) > 2 and config.objective not in ("", "minimize-log-loss"):
        raise DataError(
            f"target column {config.target!r}: {len(found)} classes; {config.objective} is for two,"
            " expected minimize-log-loss"
        )
    least = min(found, key=sets["training"].target.count)
    if sets["training"].target.count(least) < _FOLDS:
        raise DataError(
            f"target column {config.target!r}: class {least!r} has fewer than {_FOLDS} rows in training"
        )
    return found


def _joined(
    config: Config, sets: dict[str, Rows], classes: Sequence[str]
) -> tuple[Columns, np.ndarray, np.ndarray]:
    """The rows of training and validation, one after the other."""
    parts = [sets["training"], sets["validation"]]
    table = {name: [*parts[0].table[name], *parts[1].table[name]] for name in config.columns}
    empty = [name for name in config.columns if not any(table[name])]
    for name in empty:  # a column without a value tells nothing
        table[name] = ["0"] * len(table[name])
    truth = np.concatenate([_numbers(config, rows, name, classes) for name, rows in list(sets.items())[:2]])
    return table, truth, np.concatenate([rows.weight for rows in parts])


def _numbers(config: Config, rows: Rows, name: str, classes: Sequence[str]) -> np.ndarray:
    """What is to be predicted, as class numbers or values."""
    if classes:
        codes = {label: number for number, label in enumerate(classes)}
        unknown = next((value for value in rows.target if value not in codes), None)
        if unknown is not None:
            raise DataError(f"target column {config.target!r}: {unknown!r} is in the {name} set only")
        return np.array([codes[value] for value in rows.target], dtype=int)
    values = np.array([number_of(value) for value in rows.target])
    for number, value in enumerate(values):
        if np.isnan(value) or (config.objective == "minimize-rmsle" and value < 0):
            raise DataError(
                f"target column {config.target!r}: row {number + 1} of the {name} set is"
                f" {rows.target[number]!r}; expected a number"
                + (" from 0" if config.objective == "minimize-rmsle" else "")
            )
    return values


def _folds(
    config: Config, training: int, count: int, truth: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Five folds over training and validation; where the split has a meaning, validation judges training."""
    rows = np.arange(count)
    if not config.has_folds and training < count:
        return [(rows[:training], rows[training:])]
    from sklearn.model_selection import KFold, StratifiedKFold

    folds = StratifiedKFold if config.kind == "classification" else KFold
    return list(folds(_FOLDS, shuffle=True, random_state=config.seed).split(rows, truth))


def _read(client: Any, config: Config, name: str) -> Rows:
    bucket, _, prefix = config.data.removeprefix("gs://").partition("/")
    table: dict[str, list[str]] = {column: [] for column in config.columns}
    target: list[str] = []
    weight: list[float] = []
    for blob in client.list_blobs(bucket, prefix=f"{prefix}{name}-"):
        reader = csv.DictReader(io.StringIO(blob.download_as_text()))
        for row in reader:
            where = f"row {len(target) + 1} of the {name} set"
            if not row[config.target]:
                raise DataError(f"target column {config.target!r}: {where} is empty")
            target.append(row[config.target])
            weight.append(_weight(row[config.weight], config, where) if config.weight else 1.0)
            for column, values in table.items():
                values.append(row[column])
    return Rows(table, target, np.array(weight))


def _weight(text: str, config: Config, where: str) -> float:
    value = number_of(text)
    if not 0 <= value <= 10_000:  # AutoMlTablesInputs.weight_column_name
        raise DataError(f"weight column {config.weight!r}: {where} is {text!r}; expected 0 to 10000")
    return value


def say(line: str) -> None:
    """Writes a line to the log of the training."""
    sys.stdout.write(f"{line}\n")
