"""The training program of image classification; see `train` for where it reads and writes.

`config.json` has `data`, `seconds` and `models`: how many strengths of regularization are tried at most.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from . import metrics
from .images import ImageModel, NoImage, features_of
from .train import DataError, say, written

_LEAST_IMAGES = 10  # a label, documentation of AutoML image, 2026-08-22
_MOST_LABELS = 5000
_MAPPED = 1024
_STRENGTHS = (100.0, 10.0, 1000.0)
_DOWNLOADS = 8

Labelled = tuple[np.ndarray, list[str]]
"""Features, one row an image, and the labels."""


def main(folder: Path) -> None:
    """The program; ends with one line and status 1 when the images cannot be trained on."""
    from google.cloud import storage

    started = time.monotonic()
    config = json.loads((folder / "config.json").read_text())
    client = storage.Client(project=os.environ.get("CLOUD_ML_PROJECT_ID"))
    try:
        sets = [_read(client, config["data"], name) for name in ("training", "validation", "test")]
        model, evaluation = train(sets, started + config["seconds"], config["models"])
    except DataError as error:
        raise SystemExit(str(error)) from None
    written(client, folder, model, evaluation)


def train(sets: Sequence[Labelled], deadline: float, models: int) -> tuple[ImageModel, dict[str, Any]]:
    """The model, and its metrics on the test set (empty without one).

    Args:
        sets: Training, validation and test.
        deadline: Of time.monotonic(): no further strength is tried after it.
        models: How many strengths to try, whatever the time; 0: all that there is time for.

    Raises:
        DataError: The images cannot be trained on.
    """
    counts = Counter(label for _, labels in sets for label in labels)
    classes = sorted(counts)
    if not 2 <= len(classes) <= _MOST_LABELS:
        raise DataError(f"{len(classes)} labels; expected 2 to {_MOST_LABELS}")
    for label in classes:
        if counts[label] < _LEAST_IMAGES:
            raise DataError(
                f"label {label!r}: {counts[label]} images; expected at least {_LEAST_IMAGES} of each"
            )
    features, truth = sets[0][0], _numbers(sets[0][1], classes)
    if len(set(truth.tolist())) < len(classes):
        missing = next(label for label in classes if label not in sets[0][1])
        raise DataError(f"label {missing!r}: no image of it is in the training set")
    model = _mapping(features, classes)
    mapped = model.mapped(features)
    best = np.inf
    for number, strength in enumerate(_STRENGTHS[: models or None]):
        coefficients = _fitted(mapped, truth, strength)
        loss = _loss(model, coefficients, sets[1], classes)
        say(f"strength {strength:g}: loss {loss:.5f}")
        if number == 0 or loss < best:
            best, model.coefficients = loss, coefficients
        if not models and time.monotonic() > deadline:
            break
    if not sets[2][1]:
        return model, {}
    found = model.predict(sets[2][0])
    return model, metrics.classification(_numbers(sets[2][1], classes), found, classes)


def _mapping(features: np.ndarray, classes: list[str]) -> ImageModel:
    draw = np.random.default_rng(0)
    spread = features.std(axis=0)
    scale = np.where(spread > 1e-9, spread, 1) * np.sqrt(features.shape[1])
    return ImageModel(
        classes=classes,
        centre=features.mean(axis=0),
        scale=scale,
        directions=draw.normal(size=(features.shape[1], _MAPPED)),
        shift=draw.uniform(0, 2 * np.pi, _MAPPED),
        coefficients=np.zeros((1, 1)),
    )


def _fitted(mapped: np.ndarray, truth: np.ndarray, strength: float) -> np.ndarray:
    fitted = LogisticRegression(C=strength, max_iter=300).fit(mapped, truth)
    return np.hstack([fitted.coef_, fitted.intercept_[:, None]])


def _loss(model: ImageModel, coefficients: np.ndarray, rows: Labelled, classes: list[str]) -> float:
    if not rows[1]:
        return 0.0
    model = ImageModel(**{**vars(model), "coefficients": coefficients})
    return metrics.log_loss(_numbers(rows[1], classes), model.predict(rows[0]), np.ones(len(rows[1])))


def _numbers(labels: Sequence[str], classes: list[str]) -> np.ndarray:
    codes = {label: number for number, label in enumerate(classes)}
    return np.array([codes[label] for label in labels], dtype=int)


def _read(client: Any, data: str, name: str) -> Labelled:
    bucket, _, prefix = data.removeprefix("gs://").partition("/")
    items = [
        json.loads(line)
        for blob in client.list_blobs(bucket, prefix=f"{prefix}{name}-")
        for line in blob.download_as_text().splitlines()
    ]
    labelled = [item for item in items if item.get("classificationAnnotation")]

    def features(item: dict[str, Any]) -> np.ndarray:
        holder, _, path = item["imageGcsUri"].removeprefix("gs://").partition("/")
        try:
            return features_of(client.bucket(holder).blob(path).download_as_bytes())
        except NoImage as error:
            raise DataError(f"{item['imageGcsUri']}: {error}") from None

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        rows = list(pool.map(features, labelled))
    labels = [item["classificationAnnotation"]["displayName"] for item in labelled]
    return (np.stack(rows) if rows else np.zeros((0, 0))), labels
