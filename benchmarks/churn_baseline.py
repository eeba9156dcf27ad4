"""Is the model better than a plain logistic regression? Both on the Telco churn table, on the same features.

    python benchmarks/churn_baseline.py

runs the components of the pipeline `tabular_custom` in this process and prints the areas under the ROC curve
on the same test rows. The trees also see the validation rows, to stop by; the regression does not.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import duckdb
import numpy
from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Metrics, Model
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.data import example_tables, place
from trainwright.components.data.features import apply_features, fit_features
from trainwright.components.data.ingest import ingest
from trainwright.components.data.split import split
from trainwright.components.evaluation.classification import evaluate_classification
from trainwright.components.evaluation.predict import predict_tabular
from trainwright.pipelines.tabular_custom import tabular_custom
from trainwright.trainers.runtime import run
from trainwright.trainers.xgboost_tabular.__main__ import Settings, train


def parameters() -> dict:
    """The pipeline's parameters for this table: its defaults, and those of the file that stands beside it."""
    inputs = tabular_custom.component_spec.inputs or {}
    defaults = {name: spec.default for name, spec in inputs.items()}
    file = Path(__file__).parents[1] / "pipelines" / "tabular_custom.churn.json"
    return defaults | json.loads(file.read_text(encoding="utf-8"))


def prepare(folder: Path, chosen: dict) -> dict:
    """Ingests, splits and prepares the table; the artifacts by name."""
    source, _ = place("churn", "churn", example_tables("churn")["churn"], str(folder / "source"))
    names = ("dataset", "train", "validation", "test", "train_features", "validation_features")
    found = {name: Dataset(name=name, uri=str(folder / name)) for name in names}
    found["transform"] = Artifact(name="transform", uri=str(folder / "transform"))
    ingest.python_func(dataset=found["dataset"], source=source)
    split.python_func(
        **{name: found[name] for name in ("dataset", "train", "validation", "test")},
        key=chosen["key"],
        method=chosen["split_method"],
        label=chosen["label"],
        validation_fraction=chosen["validation_fraction"],
        test_fraction=chosen["test_fraction"],
    )
    fit_features.python_func(
        train=found["train"],
        transform=found["transform"],
        label=chosen["label"],
        positive_class=chosen["positive_class"],
        exclude=chosen["exclude"],
    )
    for side in ("train", "validation"):
        apply_features.python_func(
            dataset=found[side], transform=found["transform"], features=found[f"{side}_features"]
        )
    return found


def trees(folder: Path, chosen: dict, prepared: dict) -> float:
    """Trains, predicts and evaluates as the pipeline does; the area under the ROC curve."""
    os.environ["AIP_MODEL_DIR"] = str(folder / "model")
    arguments = [f"--{name}={prepared[f'{name}_features'].path}" for name in ("train", "validation")]
    arguments += [f"--transform={prepared['transform'].path}"]
    arguments += [f"--{name}={chosen[name]}" for name in Settings.__dataclass_fields__ if name in chosen]
    arguments = [item for item in arguments if not item.startswith(("--label=", "--metric="))]
    if run(train, Settings, arguments):
        raise SystemExit("the training failed")
    predictions = Dataset(name="predictions", uri=str(folder / "predictions"))
    predict_tabular.python_func(
        model=Model(name="model", uri=str(folder / "model")),
        dataset=prepared["test"],
        predictions=predictions,
    )
    evaluation = Artifact(name="evaluation", uri=str(folder / "evaluation"))
    evaluate_classification.python_func(
        predictions=predictions,
        evaluation=evaluation,
        metrics=Metrics(name="metrics", uri=str(folder / "metrics")),
        classification_metrics=ClassificationMetrics(name="classification", uri=str(folder / "curves")),
    )
    return json.loads(Path(evaluation.path).read_text(encoding="utf-8"))["metrics"]["auRoc"]


def regression(chosen: dict, prepared: dict) -> float:
    """Fits a logistic regression on the same features; the area under the ROC curve."""
    transform = json.loads(Path(prepared["transform"].path).read_text(encoding="utf-8"))
    connection = duckdb.connect()
    rows = connection.execute(f"FROM '{prepared['train_features'].path}/*.parquet'").fetchnumpy()
    label = rows.pop("label")
    expressions = ", ".join(
        f"{column['expression']} AS f{number}" for number, column in enumerate(transform["columns"])
    )
    test = f"'{prepared['test'].path}/*.parquet'"
    features = connection.execute(f"SELECT {expressions} FROM {test}").fetchnumpy()
    truth = connection.execute(f'SELECT "{chosen["label"]}" AS found FROM {test}').fetchnumpy()["found"]
    model = LogisticRegression(max_iter=2000).fit(numpy.column_stack(list(rows.values())), label)
    score = model.predict_proba(numpy.column_stack(list(features.values())))[:, 1]
    return float(roc_auc_score(truth == chosen["positive_class"], score))


def main() -> None:
    """Prints both areas."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chosen = parameters()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared = prepare(folder, chosen)
        results = {
            "gradient-boosted trees": trees(folder, chosen, prepared),
            "logistic regression": regression(chosen, prepared),
        }
        rows = prepared["test"].metadata["rows"]
    for kind, area in results.items():
        print(f"{kind}: AUC {area:.4f} on {rows:,} test rows")


if __name__ == "__main__":
    main()
