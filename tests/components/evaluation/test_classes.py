"""Evaluation of any number of classes: numbers checked by hand, and what it refuses."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Metrics, Model

from trainwright.components.evaluation.classes import evaluate_classes, predicted_images

CLASSES = ["cat", "dog", "owl"]
ROWS = [  # label, prediction, scores
    ("cat", "cat", (0.8, 0.1, 0.1)),
    ("cat", "dog", (0.3, 0.6, 0.1)),
    ("dog", "dog", (0.1, 0.8, 0.1)),
    ("owl", "owl", (0.1, 0.1, 0.8)),
]


def dataset(folder: Path, rows: list) -> Dataset:
    columns = {"label": [row[0] for row in rows], "prediction": [row[1] for row in rows]}
    columns |= {f"score_{name}": [row[2][number] for row in rows] for number, name in enumerate(CLASSES)}
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "predictions.parquet")
    about = {"label": "label", "prediction_column": "prediction", "classes": CLASSES}
    about["score_columns"] = [f"score_{name}" for name in CLASSES]
    return Dataset(uri=str(folder / "predictions.parquet"), metadata=about)


def evaluated(folder: Path, rows: list) -> tuple[dict, Metrics, ClassificationMetrics]:
    evaluation, metrics = Artifact(uri=str(folder / "evaluation")), Metrics(uri="metrics")
    drawn = ClassificationMetrics(uri="drawn")
    evaluate_classes.python_func(dataset(folder, rows), evaluation, metrics, drawn)
    return json.loads((folder / "evaluation").read_text()), metrics, drawn


def test_metrics_by_hand(tmp_path: Path) -> None:
    content, metrics, drawn = evaluated(tmp_path, ROWS)
    assert metrics.metadata["accuracy"] == 0.75
    assert metrics.metadata["precision"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert metrics.metadata["recall"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert metrics.metadata["auRoc"] == 1.0  # each class is ranked above the rest
    assert content["confusionMatrix"] == {"categories": CLASSES, "rows": [[1, 1, 0], [0, 1, 0], [0, 0, 1]]}
    assert [each["rows"] for each in content["perClass"]] == [2, 1, 1]
    assert drawn.metadata["confusionMatrix"]["annotationSpecs"] == [{"displayName": n} for n in CLASSES]


def test_a_class_that_is_in_no_row_takes_no_part_in_the_means(tmp_path: Path) -> None:
    content, metrics, _ = evaluated(tmp_path, ROWS[:3])
    assert metrics.metadata["recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert "auRoc" not in content["perClass"][2]


@pytest.mark.parametrize(
    ("rows", "message"),
    [([], "predictions have no rows"), ([("cow", "cat", (1, 0, 0))], "label 'label' has the class 'cow'")],
)
def test_what_it_refuses(tmp_path: Path, rows: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluated(tmp_path, rows)


def test_predictions_of_an_image_training(tmp_path: Path) -> None:
    model, predictions = Model(uri=str(tmp_path)), Dataset(uri="elsewhere")
    with pytest.raises(FileNotFoundError, match="the training had no test images"):
        predicted_images.python_func(model, predictions)
    dataset(tmp_path, ROWS)
    (tmp_path / "model.json").write_text(json.dumps({"classes": CLASSES}))
    predicted_images.python_func(model, predictions)
    assert predictions.uri == f"{tmp_path}/predictions.parquet"
    assert predictions.metadata["score_columns"] == ["score_cat", "score_dog", "score_owl"]
