"""How good the predictions for a label of two classes are."""

from kfp import dsl
from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Input, Metrics, Output

from trainwright.authoring.images import DUCKDB, PYTHON_IMAGE, SCIKIT_LEARN

# ruff: noqa: S608 - SQL holds only column names of the data


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[DUCKDB, SCIKIT_LEARN])
def evaluate_classification(
    predictions: Input[Dataset],
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    classification_metrics: Output[ClassificationMetrics],
    slice_columns: list = [],  # noqa: B006 - KFP reads the default, nothing changes it
    threshold: float = 0.5,
) -> None:
    """Compares scores with the label: metrics, curves, confusion matrix, calibration, and metrics per slice.

    Args:
        predictions: Of `predict_tabular`, or any Parquet with the label and a score, whose metadata has
            `label`, `positive_class` and `score_column`.
        evaluation: One JSON file: label, positive_class, rows, test_fingerprint (of the rows without the
            predictions, in any order), metrics, confusionMatrix, roc, precisionRecall, calibration, slices.
        metrics: auRoc, auPrc, logLoss, brier, and at the threshold accuracy, precision, recall, f1Score
            (the names of Vertex AI's ClassificationEvaluationMetrics).
        classification_metrics: ROC curve and confusion matrix, as the Vertex AI console draws them.
        slice_columns: Columns whose values are evaluated one by one, each with at most 20 values.
        threshold: Score from which a row counts as positive, between 0 and 1.

    Raises:
        ValueError: The label or a slice column is missing, the label has one class only or a null, a slice
            column has too many values, or the threshold is out of range.
    """
    import glob
    import json
    from pathlib import Path

    import duckdb
    import numpy
    from sklearn import metrics as measures
    from sklearn.calibration import calibration_curve

    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold {threshold}: expected between 0 and 1")
    label, positive, scored = (
        predictions.metadata[key] for key in ("label", "positive_class", "score_column")
    )
    connection = duckdb.connect()
    files = glob.escape(predictions.path) + ("/*.parquet" if Path(predictions.path).is_dir() else "")
    connection.read_parquet(files).create("predictions")
    kinds = {name: kind for name, kind, *_ in connection.execute("DESCRIBE predictions").fetchall()}
    for name in [label, scored, *slice_columns]:
        if name not in kinds:
            raise ValueError(f"predictions have no column {name!r}; there are: {', '.join(sorted(kinds))}")
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in kinds}
    truth_sql = f"{quoted[label]} = CAST($positive AS {kinds[label]})"
    read = f"SELECT {truth_sql} AS truth, CAST({quoted[scored]} AS DOUBLE) AS score FROM predictions"
    columns = connection.execute(read, {"positive": positive}).fetchnumpy()
    truth, score = columns["truth"], columns["score"]
    if numpy.ma.is_masked(truth) or numpy.ma.is_masked(score):
        raise ValueError(f"{label!r} or {scored!r} has rows without a value")
    if not 0 < truth.sum() < len(truth):
        raise ValueError(
            f"label {label!r}: {truth.sum()} of {len(truth)} rows are {positive!r}; both classes are needed"
        )

    def measure(truth: numpy.ndarray, score: numpy.ndarray) -> dict[str, float]:
        predicted = score >= threshold
        values = {
            "logLoss": measures.log_loss(truth, score, labels=[False, True]),
            "brier": numpy.mean((score - truth) ** 2),
            "accuracy": numpy.mean(truth == predicted),
            "precision": measures.precision_score(truth, predicted, zero_division=0),
            "recall": measures.recall_score(truth, predicted, zero_division=0),
            "f1Score": measures.f1_score(truth, predicted, zero_division=0),
        }
        if 0 < truth.sum() < len(truth):  # a ranking needs both classes
            values["auRoc"] = measures.roc_auc_score(truth, score)
            values["auPrc"] = measures.average_precision_score(truth, score)
        return {name: float(value) for name, value in sorted(values.items())}

    def points(*curve: numpy.ndarray) -> list[list[float]]:
        # About 200 at most: Vertex AI takes 131,072 bytes of metadata a task (quotas page, 2026-08-22).
        kept = numpy.unique(numpy.linspace(0, len(curve[0]) - 1, 200).astype(int))
        return numpy.column_stack(curve)[kept].tolist()

    slices = []
    for column in slice_columns:
        query = f"SELECT CAST({quoted[column]} AS VARCHAR) AS value FROM predictions"
        values = connection.execute(query).fetchnumpy()["value"].astype(object)
        values = numpy.ma.filled(values, "(none)")
        if len(set(values)) > 20:
            raise ValueError(f"slice column {column!r} has {len(set(values))} values; at most 20: group them")
        for value in sorted(set(values)):
            rows = values == value
            measured = {"rows": int(rows.sum()), "metrics": measure(truth[rows], score[rows])}
            slices.append({"column": column, "value": value, **measured})

    # Of the rows as a multiset: the order of rows, columns and files does not count.
    tested = ", ".join(quoted[name] for name in sorted(kinds) if not name.startswith("prediction_"))
    lines = f"SELECT to_json(t)::VARCHAR AS line FROM (SELECT {tested} FROM predictions) t"
    [(total,)] = connection.execute(f"SELECT sum(md5_number_lower(line)::HUGEINT) FROM ({lines})").fetchall()
    found = measure(truth, score)
    summary = {"rows": len(truth), "test_fingerprint": f"{len(truth)}-{total}"}
    false_positives, true_positives, cuts = measures.roc_curve(truth, score)
    roc = points(false_positives, true_positives, numpy.minimum(cuts, 1.0))  # the first cut is infinite
    precision, recall, cuts = measures.precision_recall_curve(truth, score)
    fraction, mean_score = calibration_curve(truth, score, n_bins=10, strategy="quantile")
    matrix = measures.confusion_matrix(truth, score >= threshold, labels=[False, True]).tolist()
    categories = [f"not {positive}", str(positive)]
    curves = {
        "confusionMatrix": {"threshold": threshold, "categories": categories, "rows": matrix},
        "roc": roc,
        "precisionRecall": points(recall, precision, numpy.append(cuts, 1.0)),
        "calibration": points(mean_score, fraction),
    }
    content = {
        "label": label,
        "positive_class": positive,
        **summary,
        "metrics": found,
        **curves,
        "slices": slices,
    }
    Path(evaluation.path).write_text(json.dumps(content, indent=1), encoding="utf-8")
    evaluation.metadata.update(summary, **found)
    metrics.metadata.update(found)
    classification_metrics.log_roc_curve(*map(list, zip(*roc, strict=True)))
    classification_metrics.log_confusion_matrix(categories, matrix)
