"""A trained ensemble: members that are averages of models, each with its weight."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from .features import Columns, Features, text_of

DESCRIPTION = "model.json"


@dataclass
class Trees:
    """Gradient-boosted trees, one model a fold, whose scores are averaged."""

    boosters: list[lightgbm.Booster]

    def raw(self, trees: np.ndarray, lines: np.ndarray) -> np.ndarray:
        """Probabilities by class, or values."""
        return np.mean([booster.predict(trees, num_threads=1) for booster in self.boosters], axis=0)


@dataclass
class Lines:
    """Linear models, one a fold: coefficients with the intercept last, one row a class; one row: values."""

    coefficients: list[list[list[float]]]
    is_classification: bool

    def raw(self, trees: np.ndarray, lines: np.ndarray) -> np.ndarray:
        """As `Trees.raw`."""
        scores = []
        for each in self.coefficients:
            matrix = np.array(each)
            score = lines @ matrix[:, :-1].T + matrix[:, -1]
            if not self.is_classification:
                scores.append(score[:, 0])
            elif score.shape[1] == 1:
                scores.append(1 / (1 + np.exp(-score[:, 0])))
            else:
                raised = np.exp(score - score.max(axis=1, keepdims=True))
                scores.append(raised / raised.sum(axis=1, keepdims=True))
        return np.mean(scores, axis=0)


@dataclass
class Ensemble:
    """What is trained, kept, evaluated and served.

    Attributes:
        target: Name of the target column.
        classes: The labels, in order; empty for a regression.
        is_logarithmic: Whether the members predict log(1 + value).
        features: Of the columns.
        members: The models.
        weights: Of the members; they sum to 1.
        spread: Of a regression: quantiles 0.025 and 0.975 of what training rows were off by.
    """

    target: str
    classes: list[str]
    is_logarithmic: bool
    features: Features
    members: Sequence[Trees | Lines]
    weights: Sequence[float]
    spread: tuple[float, float] = (0.0, 0.0)

    def predict(self, table: Columns) -> np.ndarray:
        """Probabilities, one column a class, or values.

        Args:
            table: Has the columns of `features`.
        """
        trees, lines = self.features.for_trees(table), self.features.for_lines(table)
        kind = {"is_classification": bool(self.classes), "is_logarithmic": self.is_logarithmic}
        found = [finished(member.raw(trees, lines), **kind) for member in self.members]
        return np.average(found, axis=0, weights=self.weights)

    def predictions(self, instances: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Predictions in the format of AutoML tabular models (schema predict/prediction/tabular_*_1.0.0).

        Args:
            instances: Values by column; a column that is left out is missing.
        """
        table = {
            column.name: [text_of(instance.get(column.name)) for instance in instances]
            for column in self.features.columns
        }
        found = self.predict(table)
        if self.classes:
            return [{"classes": self.classes, "scores": row.tolist()} for row in found]
        low, high = self.spread
        return [{"value": v, "lower_bound": v + low, "upper_bound": v + high} for v in found.tolist()]

    def save(self, folder: Path) -> None:
        """Writes the model as JSON and LightGBM's text files."""
        members: list[dict[str, Any]] = []
        for number, member in enumerate(self.members):
            if isinstance(member, Lines):
                members.append({"kind": "lines", "coefficients": member.coefficients})
                continue
            files = [f"trees-{number}-{fold}.txt" for fold in range(len(member.boosters))]
            for file, booster in zip(files, member.boosters, strict=True):
                (folder / file).write_text(booster.model_to_string(num_iteration=booster.best_iteration))
            members.append({"kind": "trees", "files": files})
        described = {
            "target": self.target,
            "classes": self.classes,
            "is_logarithmic": self.is_logarithmic,
            "features": self.features.json(),
            "members": members,
            "weights": list(self.weights),
            "spread": self.spread,
        }
        (folder / DESCRIPTION).write_text(json.dumps(described))

    @classmethod
    def load(cls, folder: Path) -> "Ensemble":
        """Reads what `save` wrote."""
        described = json.loads((folder / DESCRIPTION).read_text())
        described["features"] = Features.from_json(described["features"])
        described["members"] = [
            Trees([lightgbm.Booster(model_file=str(folder / file)) for file in member["files"]])
            if member["kind"] == "trees"
            else Lines(member["coefficients"], bool(described["classes"]))
            for member in described["members"]
        ]
        return cls(**described)


def finished(raw: np.ndarray, *, is_classification: bool, is_logarithmic: bool) -> np.ndarray:
    """What members gave as probabilities of all classes, or as values."""
    if not is_classification:
        return np.expm1(raw) if is_logarithmic else raw
    return np.column_stack([1 - raw, raw]) if raw.ndim == 1 else raw
