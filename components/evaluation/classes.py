"""Predictions of an image classifier, and how good predictions for any number of classes are."""

from kfp import dsl
from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from trainwright.authoring.images import DUCKDB, PYTHON_IMAGE, SCIKIT_LEARN


@dsl.component(base_image=PYTHON_IMAGE)
def predicted_images(model: Input[Model], predictions: Output[Dataset]) -> None:
    """Describes the test predictions that an image training wrote beside its model as a Dataset.

    Args:
        model: Of `train_torch_image`.
        predictions: `predictions.parquet` in the model directory; nothing is copied. Metadata: `label`,
            `classes`, `prediction_column` and `score_columns`, one for each class.

    Raises:
        FileNotFoundError: The training had no test images.
    """
    import json
    from pathlib import Path

    folder = Path(model.path)
    if not (folder / "predictions.parquet").is_file():
        raise FileNotFoundError(f"{model.uri}/predictions.parquet: the training had no test images")
    classes = json.loads((folder / "model.json").read_text(encoding="utf-8"))["classes"]
    predictions.uri = f"{model.uri}/predictions.parquet"
    about = {"format": "parquet", "label": "label", "prediction_column": "prediction", "classes": classes}
    predictions.metadata.update(about, score_columns=[f"score_{name}" for name in classes])


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[DUCKDB, SCIKIT_LEARN])
def evaluate_classes(
    predictions: Input[Dataset],
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    classification_metrics: Output[ClassificationMetrics],
) -> None:
    """Compares predictions for two or more classes with the label: metrics, and what is confused with what.

    Args:
        predictions: Parquet whose metadata has `label`, `classes`, `prediction_column` and `score_columns`
            (the probability of each class, in the order of the classes).
        evaluation: One JSON file: label, classes, rows, metrics, perClass, confusionMatrix.
        metrics: accuracy, macro averages of precision, recall and f1Score, logLoss and, one class against the
            rest, auRoc and auPrc.
        classification_metrics: The confusion matrix, as the Vertex AI console draws it.

    Raises:
        ValueError: There are no rows, a column is missing, or the label has a class that the model does not
            know.
    """
    import glob
    import json
    from pathlib import Path

    import duckdb
    import numpy
    from sklearn import metrics as measures

    about = predictions.metadata
    label, predicted, scored = about["label"], about["prediction_column"], about["score_columns"]
    classes = [str(name) for name in about["classes"]]
    files = glob.escape(predictions.path) + ("/*.parquet" if Path(predictions.path).is_dir() else "")
    rows = duckdb.connect().read_parquet(files, hive_partitioning=False)
    for name in [label, predicted, *scored]:
        if name not in rows.columns:
            raise ValueError(
                f"predictions have no column {name!r}; there are: {', '.join(sorted(rows.columns))}"
            )
    table = rows.fetchnumpy()
    truth, guess = (table[name].astype(str) for name in (label, predicted))
    if not len(truth):
        raise ValueError("predictions have no rows")
    if strange := sorted(set(truth.tolist()) - set(classes)):
        raise ValueError(f"label {label!r} has the class {strange[0]!r}, which the model does not know")
    scores = numpy.column_stack([table[name] for name in scored]).astype(float)
    scores /= scores.sum(axis=1, keepdims=True)  # as float32 they add up to one only nearly
    per_class, present = [], []
    parts = measures.precision_recall_fscore_support(truth, guess, labels=classes, zero_division=0)
    for number, (name, *values) in enumerate(zip(classes, *parts, strict=True)):
        found = dict(zip(("precision", "recall", "f1Score", "rows"), map(float, values), strict=True))
        if 0 < found["rows"] < len(truth):  # a ranking needs the class and the rest
            found["auRoc"] = float(measures.roc_auc_score(truth == name, scores[:, number]))
            found["auPrc"] = float(measures.average_precision_score(truth == name, scores[:, number]))
            present.append(found)
        per_class.append({"class": name, **found})
    names = ("precision", "recall", "f1Score", "auRoc", "auPrc")
    found = {name: float(numpy.mean([each[name] for each in present])) for name in names if present}
    found["accuracy"] = float((truth == guess).mean())
    found["logLoss"] = float(measures.log_loss(truth, scores, labels=classes))
    matrix = measures.confusion_matrix(truth, guess, labels=classes).tolist()
    content = {
        "label": label,
        "classes": classes,
        "rows": len(truth),
        "metrics": found,
        "perClass": per_class,
    }
    content["confusionMatrix"] = {"categories": classes, "rows": matrix}
    Path(evaluation.path).write_text(json.dumps(content, indent=1), encoding="utf-8")
    metrics.metadata.update(found)
    evaluation.metadata.update(rows=len(truth), **found)
    classification_metrics.log_confusion_matrix(classes, matrix)
