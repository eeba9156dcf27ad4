"""Prediction, evaluation, report and comparison in process, on real artifacts and a really trained model."""

import json
import signal
from pathlib import Path

import duckdb
import numpy
import pytest
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Metrics, Model
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from trainwright.components.evaluation.classification import evaluate_classification
from trainwright.components.evaluation.comparison import compare_models
from trainwright.components.evaluation.predict import predict_tabular
from trainwright.components.evaluation.report import report_classification
from trainwright.trainers.runtime import run
from trainwright.trainers.xgboost_tabular.__main__ import Settings, train

RAW = """
    SELECT i AS id, i % 3 = 0 AS "has plan",
        CASE WHEN i % 7 = 0 THEN NULL ELSE (i * 37 % 101) / 10.0 END AS spent,
        ['north', 'south', NULL][1 + i % 3] AS region,
        CASE WHEN (i * 37 % 101) + (i * 13 % 29) > 70 THEN 'Yes' ELSE 'No' END AS left_us
    FROM range({first}, {last}) AS numbers(i)
"""
TRANSFORM = {
    "version": 1,
    "label": "left_us",
    "classes": ["No", "Yes"],
    "columns": [
        {"name": "has plan", "expression": 'CAST("has plan" AS DOUBLE)'},
        {"name": "spent", "expression": "COALESCE(CAST(spent AS DOUBLE), 5.0)"},
        {"name": "region=north", "expression": "CASE WHEN region = 'north' THEN 1.0 ELSE 0.0 END"},
        {"name": "drift", "expression": "CAST(id * 13 % 29 AS DOUBLE)"},
    ],
    "fitted_on_rows": 2000,
}


def raw_rows(folder: Path, first: int, last: int) -> Dataset:
    folder.mkdir(parents=True)
    duckdb.connect().execute(f"COPY ({RAW.format(first=first, last=last)}) TO '{folder}/part-00000.parquet'")
    return Dataset(name="rows", uri=str(folder), metadata={"rows": last - first})


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    folder = tmp_path_factory.mktemp("model")
    (folder / "transform.json").write_text(json.dumps(TRANSFORM))
    select = ", ".join(f'{column["expression"]} AS "{column["name"]}"' for column in TRANSFORM["columns"])
    for name, first, last in (("train", 0, 2000), ("validation", 2000, 2600)):
        query = f"SELECT {select}, CAST(left_us = 'Yes' AS INTEGER) AS label FROM ({RAW})".format(
            first=first, last=last
        )
        duckdb.connect().execute(f"COPY ({query}) TO '{folder}/{name}.parquet'")
    named = {"train": "train.parquet", "validation": "validation.parquet", "transform": "transform.json"}
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("AIP_MODEL_DIR", str(folder / "model"))
        assert run(train, Settings, [f"--{key}={folder / name}" for key, name in named.items()]) == 0
    signal.signal(signal.SIGTERM, handler)
    return Model(name="model", uri=str(folder / "model"))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory) -> Dataset:
    return raw_rows(tmp_path_factory.mktemp("test") / "rows", 2600, 3100)


def predict(model: Model, rows: Dataset, folder: Path, **settings) -> Dataset:
    predictions = Dataset(name="predictions", uri=str(folder / "predictions"))
    predict_tabular.python_func(model=model, dataset=rows, predictions=predictions, **settings)
    return predictions


def evaluate(predictions: Dataset, folder: Path, **settings) -> tuple[Artifact, dict]:
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = Artifact(name="evaluation", uri=str(folder / "evaluation"))
    drawn = ClassificationMetrics(name="classification", uri=str(folder / "classification"))
    logged = Metrics(name="metrics", uri=str(folder / "metrics"))
    evaluate_classification.python_func(
        predictions=predictions,
        evaluation=evaluation,
        metrics=logged,
        classification_metrics=drawn,
        **settings,
    )
    content = json.loads(Path(evaluation.path).read_text())
    assert logged.metadata == content["metrics"]
    assert len(drawn.metadata["confidenceMetrics"]) == len(content["roc"])
    json.dumps(drawn.metadata, allow_nan=False)
    return evaluation, content


@pytest.fixture(scope="module")
def predictions(model, held_out, tmp_path_factory) -> Dataset:
    return predict(model, held_out, tmp_path_factory.mktemp("predictions"))


def table(dataset: Dataset):
    return duckdb.connect().read_parquet(f"{dataset.path}/*.parquet")


def test_predictions_keep_the_rows_and_score_them(model, held_out, predictions, tmp_path):
    rows, scored = table(held_out).fetchnumpy(), table(predictions).fetchnumpy()
    assert list(scored) == [*rows, "prediction_score", "prediction_label"]
    assert scored["id"].tolist() == rows["id"].tolist()
    assert roc_auc_score(rows["left_us"] == "Yes", scored["prediction_score"]) > 0.95
    likely = scored["prediction_score"] >= 0.5
    assert (likely == (scored["prediction_label"] == "Yes")).all()
    assert predictions.metadata["schema"]["prediction_score"] == "DOUBLE"
    assert predictions.metadata["positive_class"] == "Yes"
    in_batches = predict(model, held_out, tmp_path, batch_rows=64)
    assert (table(in_batches).fetchnumpy()["prediction_score"] == scored["prediction_score"]).all()


def test_unlabelled_rows_can_be_scored(model, held_out, predictions, tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    duckdb.connect().execute(
        f"COPY (SELECT * EXCLUDE left_us FROM '{held_out.path}/*.parquet') TO '{folder}/a.parquet'"
    )
    scored = predict(model, Dataset(name="rows", uri=str(folder)), tmp_path)
    assert (
        table(scored).fetchnumpy()["prediction_score"] == table(predictions).fetchnumpy()["prediction_score"]
    ).all()


def test_rows_that_do_not_fit_are_refused(model, held_out, predictions, tmp_path):
    with pytest.raises(ValueError, match="'prediction_label' already: these are not raw rows"):
        predict(model, predictions, tmp_path / "twice")
    folder = tmp_path / "other"
    folder.mkdir()
    duckdb.connect().execute(f"COPY (SELECT 1 AS id) TO '{folder}/a.parquet'")
    with pytest.raises(ValueError, match=r"does not fit the model's transform: .*has plan"):
        predict(model, Dataset(name="rows", uri=str(folder)), tmp_path / "out")


def test_metrics_are_right(predictions, tmp_path):
    _, found = evaluate(predictions, tmp_path, slice_columns=["region", "has plan"])
    scored = table(predictions).fetchnumpy()
    truth, score = scored["left_us"] == "Yes", scored["prediction_score"]
    assert found["metrics"]["auRoc"] == pytest.approx(roc_auc_score(truth, score))
    assert found["metrics"]["logLoss"] == pytest.approx(log_loss(truth, score))
    assert found["metrics"]["brier"] == pytest.approx(brier_score_loss(truth, score))
    [[true_negative, _], [_, true_positive]] = found["confusionMatrix"]["rows"]
    assert (true_negative + true_positive) / len(truth) == pytest.approx(found["metrics"]["accuracy"])
    slices = {(part["column"], part["value"]): part for part in found["slices"]}
    assert set(slices) == {
        ("region", "(none)"), ("region", "north"), ("region", "south"),
        ("has plan", "false"), ("has plan", "true"),
    }  # fmt: skip
    north = scored["region"] == "north"
    assert slices["region", "north"]["rows"] == north.sum()
    assert slices["region", "north"]["metrics"]["auRoc"] == pytest.approx(
        roc_auc_score(truth[north], score[north])
    )
    assert sum(part["rows"] for key, part in slices.items() if key[0] == "region") == len(truth)


def test_classes_are_called_by_their_names(predictions, tmp_path):
    evaluation, found = evaluate(predictions, tmp_path / "named")
    assert found["confusionMatrix"]["categories"] == ["No", "Yes"]
    unnamed = {name: value for name, value in predictions.metadata.items() if name != "classes"}
    _, other = evaluate(Dataset(name="p", uri=predictions.uri, metadata=unnamed), tmp_path / "unnamed")
    assert other["confusionMatrix"]["categories"] == ["not Yes", "Yes"]
    assert other["confusionMatrix"]["rows"] == found["confusionMatrix"]["rows"]
    strange = ["<none> & $x$", "a$b_{"]  # neither markup nor mathematics
    found["confusionMatrix"]["categories"] = strange
    Path(evaluation.path).write_text(json.dumps(found))
    report = HTML(name="report", uri=str(tmp_path / "report"))
    report_classification.python_func(evaluation=evaluation, report=report)
    page = Path(report.path).read_text()
    assert page.count("&lt;none&gt; &amp; $x$") >= 2 and page.count("a$b_{") >= 2


def test_the_name_of_a_folder_is_no_column(model, held_out, predictions, tmp_path):
    """A bucket's folder may be called `env=prod`, which DuckDB by itself reads as a column `env`."""
    folder = tmp_path / "env=prod"
    elsewhere = predict(model, raw_rows(folder / "rows", 2600, 3100), folder)
    assert elsewhere.metadata == predictions.metadata
    _, expected = evaluate(predictions, tmp_path / "expected")
    _, found = evaluate(elsewhere, folder / "evaluation")
    assert found == expected
    with pytest.raises(ValueError, match="no column 'env'"):
        evaluate(elsewhere, folder / "sliced", slice_columns=["env"])


def test_the_threshold_decides_who_is_positive(predictions, tmp_path):
    _, strict = evaluate(predictions, tmp_path / "strict", threshold=0.9)
    _, lax = evaluate(predictions, tmp_path / "lax", threshold=0.1)
    assert strict["metrics"]["precision"] >= lax["metrics"]["precision"]
    assert strict["metrics"]["recall"] < lax["metrics"]["recall"]
    assert strict["metrics"]["auRoc"] == lax["metrics"]["auRoc"]


@pytest.mark.parametrize(
    ("label_sql", "positive"),
    [("left_us = 'Yes'", True), ("left_us = 'Yes'", "true"), ("(left_us = 'Yes')::INT", 1.0),
     ("(left_us = 'Yes')::INT", "1")],
)  # fmt: skip
def test_labels_of_any_type(predictions, tmp_path, label_sql, positive):
    """The positive class comes out of metadata, where Vertex AI keeps every number as a double."""
    _, expected = evaluate(predictions, tmp_path / "expected")
    folder = tmp_path / "other"
    folder.mkdir()
    duckdb.connect().execute(
        f"COPY (SELECT {label_sql} AS label, prediction_score FROM '{predictions.path}/*.parquet') "
        f"TO '{folder}/a.parquet'"
    )
    metadata = {"label": "label", "positive_class": positive, "score_column": "prediction_score"}
    _, found = evaluate(Dataset(name="p", uri=str(folder), metadata=metadata), tmp_path / "found")
    assert found["metrics"] == expected["metrics"]


@pytest.mark.parametrize(
    ("change", "settings", "expected"),
    [
        ("* EXCLUDE left_us", {}, "no column 'left_us'"),
        ("* REPLACE ('No' AS left_us)", {}, "0 of 500 rows are 'Yes'"),
        ("* REPLACE (nullif(left_us, 'No') AS left_us)", {}, "rows without a value"),
        ("*", {"slice_columns": ["plan"]}, "no column 'plan'; there are: has plan, id, left_us"),
        ("*", {"slice_columns": ["id"]}, "slice column 'id' has 500 values; at most 20"),
        ("*", {"threshold": 1.5}, "threshold 1.5: expected between 0 and 1"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(predictions, tmp_path, change, settings, expected):
    folder = tmp_path / "changed"
    folder.mkdir()
    duckdb.connect().execute(
        f"COPY (SELECT {change} FROM '{predictions.path}/*.parquet') TO '{folder}/a.parquet'"
    )
    with pytest.raises(ValueError, match=expected):
        evaluate(Dataset(name="p", uri=str(folder), metadata=predictions.metadata), tmp_path, **settings)


def test_the_fingerprint_is_of_the_test_rows_alone(model, predictions, tmp_path):
    _, found = evaluate(predictions, tmp_path / "first")
    for name, change in {
        "turned": "SELECT * FROM rows ORDER BY id DESC",
        "other_scores": "SELECT * REPLACE (1 - prediction_score AS prediction_score) FROM rows",
        "one_row_changed": "SELECT * REPLACE (CASE WHEN id = 2700 THEN 99 ELSE spent END AS spent) FROM rows",
        "one_row_twice": "SELECT * FROM rows UNION ALL SELECT * FROM rows WHERE id = 2700",
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        query = change.replace("FROM rows", f"FROM '{predictions.path}/*.parquet'")
        duckdb.connect().execute(f"COPY ({query}) TO '{folder}/a.parquet'")
        _, other = evaluate(
            Dataset(name="p", uri=str(folder), metadata=predictions.metadata), tmp_path / f"{name}-out"
        )
        same = name in ("turned", "other_scores")
        assert (other["test_fingerprint"] == found["test_fingerprint"]) == same, name


def evaluation_of(folder: Path, name: str, fingerprint: str = "500-1", **metrics: float) -> Artifact:
    path = folder / name
    about = {"label": "churn", "positive_class": "Yes", "rows": 500, "test_fingerprint": fingerprint}
    path.write_text(json.dumps({**about, "metrics": metrics}))
    return Artifact(name=name, uri=str(path))


# challenger, champion, settings, challenger wins?
DECISIONS = [
    (0.85, 0.84, {}, True),
    (0.84, 0.85, {}, False),
    (0.85, 0.85, {}, False),
    (0.85, None, {}, True),
    (0.85, None, {"minimum_gain": 0.5}, True),
    (0.85, 0.84, {"minimum_gain": 0.02}, False),
    (0.87, 0.84, {"minimum_gain": 0.02}, True),
    (0.40, 0.41, {"metric": "logLoss", "higher_is_better": False}, True),
    (0.41, 0.40, {"metric": "logLoss", "higher_is_better": False}, False),
    (0.40, 0.41, {"metric": "logLoss", "higher_is_better": False, "minimum_gain": 0.02}, False),
]


@pytest.mark.parametrize(("challenger", "champion", "settings", "wins"), DECISIONS)
def test_decisions(tmp_path, challenger, champion, settings, wins):
    metric = settings.get("metric", "auRoc")
    new = evaluation_of(tmp_path, "new", **{metric: challenger})
    old = None if champion is None else evaluation_of(tmp_path, "old", **{metric: champion})
    challenger_wins, verdict = compare_models.python_func(challenger=new, champion=old, **settings)
    assert challenger_wins is wins
    assert verdict.startswith("The challenger wins" if wins else "The champion stays")
    assert f"{challenger:.4f}" in verdict


def test_swapping_the_two_flips_the_verdict(model, predictions, held_out, tmp_path):
    better, _ = evaluate(predictions, tmp_path / "better")
    noise = numpy.random.default_rng(0).random(500)
    rows = table(predictions).arrow().read_all()
    blurred = rows.set_column(
        rows.column_names.index("prediction_score"), "prediction_score",
        [0.5 * rows["prediction_score"].to_numpy() + 0.5 * noise],
    )  # fmt: skip
    folder = tmp_path / "blurred"
    folder.mkdir()
    connection = duckdb.connect()
    connection.register("blurred", blurred)
    connection.execute(f"COPY blurred TO '{folder}/a.parquet'")
    worse, _ = evaluate(Dataset(name="p", uri=str(folder), metadata=predictions.metadata), tmp_path / "worse")
    assert compare_models.python_func(challenger=better, champion=worse)[0] is True
    assert compare_models.python_func(challenger=worse, champion=better)[0] is False


def test_comparisons_without_meaning_are_refused(tmp_path):
    new, old = evaluation_of(tmp_path, "new", auRoc=0.8, brier=0.1), evaluation_of(tmp_path, "old", auRoc=0.7)
    with pytest.raises(
        ValueError, match="'auc' is not in the evaluation of the challenger; there are: auRoc, b"
    ):
        compare_models.python_func(challenger=new, champion=old, metric="auc")
    with pytest.raises(
        ValueError, match="'brier' is not in the evaluation of the champion; there are: auRoc"
    ):
        compare_models.python_func(challenger=new, champion=old, metric="brier")
    with pytest.raises(ValueError, match="'auc' is not in the evaluation of the challenger"):
        compare_models.python_func(challenger=new, metric="auc")
    with pytest.raises(ValueError, match="minimum_gain -1: expected 0 or more"):
        compare_models.python_func(challenger=new, champion=old, minimum_gain=-1)
    other = evaluation_of(tmp_path, "other", fingerprint="499-7", auRoc=0.7)
    with pytest.raises(ValueError, match="differ in test_fingerprint, '500-1' and '499-7'"):
        compare_models.python_func(challenger=new, champion=other)


def test_the_report_stands_alone_and_repeats_byte_for_byte(predictions, tmp_path):
    evaluation, found = evaluate(predictions, tmp_path, slice_columns=["region"])
    texts = []
    for name in ("first", "second"):
        report = HTML(name="report", uri=str(tmp_path / name))
        report_classification.python_func(evaluation=evaluation, report=report, title="Churn <March>")
        assert report.uri.endswith(".html")
        texts.append(Path(report.path).read_text())
    assert texts[0] == texts[1]
    assert texts[0].count("<svg") == 4
    assert "Churn &lt;March&gt;" in texts[0]
    assert f"{found['metrics']['auRoc']:.4f}" in texts[0]
    assert "<td>south</td>" in texts[0]
    addresses = texts[0].replace("http://www.w3.org/", "").replace("http://purl.org/", "")
    assert "http" not in addresses.replace("http://creativecommons.org/ns#", "")
    assert "<script" not in texts[0]
