"""How good the predictions for a label of two classes are."""

from kfp import dsl
from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Input, Metrics, Output

from trainwright.authoring.images import DUCKDB, PYTHON_IMAGE, SCIKIT_LEARN


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
            `label`, `positive_class`, `score_column` and, for their names, `classes` (negative, positive).
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
    about = predictions.metadata
    label, positive, scored = about["label"], about["positive_class"], about["score_column"]
    files = glob.escape(predictions.path) + ("/*.parquet" if Path(predictions.path).is_dir() else "")
    rows = duckdb.connect().read_parquet(files, hive_partitioning=False)
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in rows.columns}
    for name in [label, scored, *slice_columns]:
        if name not in quoted:
            raise ValueError(f"predictions have no column {name!r}; there are: {', '.join(sorted(quoted))}")
    value, kind = str(positive).replace("'", "''"), rows.types[rows.columns.index(label)]
    is_positive = f"{quoted[label]} = CAST('{value}' AS {kind})"
    read = rows.project(f"{is_positive} AS truth, {quoted[scored]}::DOUBLE AS score")
    truth, score = read.fetchnumpy().values()
    if numpy.ma.is_masked(truth) or numpy.ma.is_masked(score):
        raise ValueError(f"{label!r} or {scored!r} has rows without a value")
    if not 0 < truth.sum() < len(truth):
        raise ValueError(f"label {label!r}: {truth.sum()} of {len(truth)} rows are {positive!r}; need both")

    def measure(truth: numpy.ndarray, score: numpy.ndarray) -> dict[str, float]:
        [[tn, fp], [fn, tp]] = measures.confusion_matrix(truth, score >= threshold, labels=[False, True])
        values = {"accuracy": (tp + tn) / len(truth), "f1Score": 2 * tp / max(2 * tp + fp + fn, 1)}
        values |= {"precision": tp / max(tp + fp, 1), "recall": tp / max(tp + fn, 1)}
        values["brier"] = numpy.mean((score - truth) ** 2)
        values["logLoss"] = measures.log_loss(truth, score, labels=[False, True])
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
        values = rows.project(f"ifnull({quoted[column]}::VARCHAR, '(none)') AS v").fetchnumpy()["v"]
        if len(set(values)) > 20:
            raise ValueError(f"slice column {column!r} has {len(set(values))} values; at most 20: group them")
        for value in sorted(set(values)):
            part = values == value
            measured = {"rows": int(part.sum()), "metrics": measure(truth[part], score[part])}
            slices.append({"column": column, "value": value, **measured})
    # Of the rows as a multiset: the order of rows, columns and files does not count.
    tested = ", ".join(quoted[name] for name in sorted(quoted) if not name.startswith("prediction_"))
    hashed = "SELECT sum(md5_number_lower(to_json(t)::VARCHAR)::HUGEINT) FROM t"
    [(total,)] = rows.project(tested).query("t", hashed).fetchall()
    categories = [str(name) for name in about.get("classes", [f"not {positive}", positive])]
    matrix = measures.confusion_matrix(truth, score >= threshold, labels=[False, True]).tolist()
    false_positives, true_positives, cuts = measures.roc_curve(truth, score)
    roc = points(false_positives, true_positives, numpy.minimum(cuts, 1.0))  # the first cut is infinite
    precision, recall, cuts = measures.precision_recall_curve(truth, score)
    fraction, mean_score = calibration_curve(truth, score, n_bins=10, strategy="quantile")
    summary = {"rows": len(truth), "test_fingerprint": f"{len(truth)}-{total}"}
    content = {"label": label, "positive_class": positive, **summary, "metrics": measure(truth, score)}
    content |= {"confusionMatrix": {"threshold": threshold, "categories": categories, "rows": matrix}}
    content |= {"roc": roc, "precisionRecall": points(recall, precision, numpy.append(cuts, 1.0))}
    content |= {"calibration": points(mean_score, fraction), "slices": slices}
    Path(evaluation.path).write_text(json.dumps(content, indent=1), encoding="utf-8")
    metrics.metadata.update(content["metrics"])
    evaluation.metadata.update(summary, **content["metrics"])
    classification_metrics.log_roc_curve(*map(list, zip(*roc, strict=True)))
    classification_metrics.log_confusion_matrix(categories, matrix)
