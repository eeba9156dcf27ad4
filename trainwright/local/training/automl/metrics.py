"""How good predictions are: what a search looks for, and the metrics of Vertex AI's model evaluation."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn import metrics

_THRESHOLDS = np.round(np.arange(0, 1.0001, 0.02), 2)
_LEAST = 1e-15

Loss = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
"""From truth (class numbers or values), prediction and weights to a number: less is better."""


def loss_of(objective: str, *, recall: float = 0.0, precision: float = 0.0) -> Loss:
    """The loss of an optimization objective.

    Args:
        objective: As in AutoMlTablesInputs.optimization_objective.
        recall: For maximize-precision-at-recall.
        precision: For maximize-recall-at-precision.
    """

    def curve(truth: np.ndarray, found: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        precisions, recalls, _ = metrics.precision_recall_curve(truth, found[:, 1], sample_weight=weight)
        return precisions, recalls

    def at_recall(truth: np.ndarray, found: np.ndarray, weight: np.ndarray) -> float:
        precisions, recalls = curve(truth, found, weight)
        return 1 - float(precisions[recalls >= recall].max(initial=0))

    def at_precision(truth: np.ndarray, found: np.ndarray, weight: np.ndarray) -> float:
        precisions, recalls = curve(truth, found, weight)
        return 1 - float(recalls[precisions >= precision].max(initial=0))

    return {
        "minimize-log-loss": log_loss,
        "maximize-au-roc": lambda t, p, w: 1 - float(metrics.roc_auc_score(t, p[:, 1], sample_weight=w)),
        "maximize-au-prc": lambda t, p, w: (
            1 - float(metrics.average_precision_score(t, p[:, 1], sample_weight=w))
        ),
        "maximize-precision-at-recall": at_recall,
        "maximize-recall-at-precision": at_precision,
        "minimize-rmse": lambda t, p, w: float(np.sqrt(np.average((t - p) ** 2, weights=w))),
        "minimize-mae": lambda t, p, w: float(np.average(np.abs(t - p), weights=w)),
        "minimize-rmsle": lambda t, p, w: _rmsle(t, p, w),
    }[objective]


def classification(truth: np.ndarray, found: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Metrics as in classification_metrics_1.0.0.yaml, over all classes together (micro-averaged).

    Args:
        truth: Class numbers.
        found: Probabilities, one column a class.
        labels: Of the classes.
    """
    each = (truth[:, None] == np.arange(len(labels))).ravel()
    scores, chosen = found.ravel(), found.argmax(axis=1)
    top = found.max(axis=1)
    rows = metrics.confusion_matrix(truth, chosen, labels=np.arange(len(labels)))
    return {
        "auPrc": float(metrics.average_precision_score(each, scores)),
        "auRoc": float(metrics.roc_auc_score(each, scores)),
        "logLoss": log_loss(truth, found, np.ones(len(truth))),
        "confidenceMetrics": [
            _at_threshold(float(threshold), each, scores, top, chosen == truth) for threshold in _THRESHOLDS
        ],
        "confusionMatrix": {
            "annotationSpecs": [
                {"id": str(number), "displayName": label} for number, label in enumerate(labels)
            ],
            "rows": rows.tolist(),
        },
    }


def regression(truth: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Metrics as in regression_metrics_1.0.0.yaml; those that a truth of 0 or below makes undefined left out.

    Args:
        truth: Values.
        found: Predictions.
    """
    ones = np.ones(len(truth))
    result = {
        "rootMeanSquaredError": float(np.sqrt(np.mean((truth - found) ** 2))),
        "meanAbsoluteError": float(np.mean(np.abs(truth - found))),
        "rSquared": float(metrics.r2_score(truth, found)),
    }
    if (truth != 0).all():
        result["meanAbsolutePercentageError"] = float(100 * np.mean(np.abs((truth - found) / truth)))
    if (truth >= 0).all():
        result["rootMeanSquaredLogError"] = _rmsle(truth, found, ones)
    return result


def _at_threshold(
    threshold: float, each: np.ndarray, scores: np.ndarray, top: np.ndarray, is_right: np.ndarray
) -> dict[str, Any]:
    taken = scores >= threshold
    right, wrong = int((taken & each).sum()), int((taken & ~each).sum())
    missed, left = int((~taken & each).sum()), int((~taken & ~each).sum())
    precision, recall = _ratio(right, right + wrong, 1.0), _ratio(right, right + missed, 0.0)
    first = top >= threshold
    precision_1 = _ratio(int((first & is_right).sum()), int(first.sum()), 1.0)
    recall_1 = _ratio(int((first & is_right).sum()), len(top), 0.0)
    return {
        "confidenceThreshold": threshold,
        "precision": precision,
        "recall": recall,
        "f1Score": _ratio(2 * precision * recall, precision + recall, 0.0),
        "falsePositiveRate": _ratio(wrong, wrong + left, 0.0),
        "precisionAt1": precision_1,
        "recallAt1": recall_1,
        "f1ScoreAt1": _ratio(2 * precision_1 * recall_1, precision_1 + recall_1, 0.0),
        "truePositiveCount": str(right),
        "falsePositiveCount": str(wrong),
        "falseNegativeCount": str(missed),
        "trueNegativeCount": str(left),
    }


def _ratio(part: float, whole: float, otherwise: float) -> float:
    return part / whole if whole else otherwise


def log_loss(truth: np.ndarray, found: np.ndarray, weight: np.ndarray) -> float:
    """Mean negative logarithm of the probability of the right class."""
    right = np.clip(found[np.arange(len(truth)), truth.astype(int)], _LEAST, 1)
    return float(np.average(-np.log(right), weights=weight))


def _rmsle(truth: np.ndarray, found: np.ndarray, weight: np.ndarray) -> float:
    off = np.log1p(np.maximum(truth, 0)) - np.log1p(np.maximum(found, 0))
    return float(np.sqrt(np.average(off**2, weights=weight)))
