"""A registered model is deployed and answers as `predict_tabular` does, all parts for real."""

import json
import os
import subprocess
import sys

import duckdb
import pytest

from trainwright.components.data.features import apply_features, fit_features
from trainwright.components.evaluation.predict import predict_tabular
from trainwright.local.server import LocalVertex

SCENARIO = """
import json, sys
from google.api_core import exceptions
from google.cloud import aiplatform
from google_cloud_pipeline_components.types.artifact_types import VertexModel
from kfp.dsl import Model
from trainwright.components.models.register import register_model
from trainwright.components.training.custom import XGBOOST_TABULAR_SERVER

RUN = {"project": "trainwright-local", "location": "us-central1"}
rows = json.loads(sys.argv[1])
version, _ = register_model.python_func(
    model=Model(name="model", uri="gs://trainwright-local/trained/model"),
    model_name="churn",
    registered=VertexModel(name="registered", uri=""),
    serving_command=XGBOOST_TABULAR_SERVER.command(),
    **RUN,
)
aiplatform.init(**RUN)
endpoint = aiplatform.Model(version).deploy(machine_type="n1-standard-2")
answers = {"predictions": endpoint.predict(rows).predictions}
wrong_rows = {"column": {"tenure": 1}, "kind": {**rows[0], "tenure": "long"}, "row": [1, 2]}
for name, wrong in wrong_rows.items():
    try:
        endpoint.predict([wrong])
    except exceptions.InvalidArgument as error:
        answers[name] = error.message
print("=", json.dumps(answers))
"""
DATA = """
SELECT range AS id, range % 7 AS tenure, ['web', 'shop', NULL][range % 3 + 1] AS channel,
    DATE '2026-01-01' + (range % 50)::INTEGER AS since,
    CASE WHEN (range * 13) % 10 + range % 7 > 7 THEN 'yes' ELSE 'no' END AS churned
FROM range(400)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the endpoint answered, and what `predict_tabular` says of the same rows."""
    from kfp.dsl import Artifact, Dataset, Model

    folder = tmp_path_factory.mktemp("data")
    with LocalVertex(tmp_path_factory.mktemp("vertex") / "state") as vertex:
        trained = vertex.state / "storage" / "trainwright-local" / "trained"
        raw, transform = (
            Dataset(uri=str(folder / "raw.parquet")),
            Artifact(uri=str(folder / "transform.json")),
        )
        duckdb.sql(DATA).write_parquet(raw.path)
        features = Dataset(uri=str(folder / "features"))
        fit_features.python_func(train=raw, transform=transform, label="churned", exclude=["id"])
        apply_features.python_func(dataset=raw, transform=transform, features=features)
        locations = {"train": features.path, "validation": features.path, "transform": transform.path}
        subprocess.run(
            [
                *(sys.executable, "-m", "trainers.xgboost_tabular", "--rounds=20"),
                *(f"--{name}={location}" for name, location in locations.items()),
            ],
            env={**os.environ, "AIP_MODEL_DIR": str(trained / "model"), "OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
        )
        predicted = Dataset(uri=str(folder / "predicted"))
        predict_tabular.python_func(
            model=Model(uri=str(trained / "model")), dataset=raw, predictions=predicted
        )
        rows = duckdb.sql(DATA).limit(12).df().drop(columns=["churned"])
        rows["since"] = rows["since"].dt.strftime("%Y-%m-%d")
        instances = json.loads(rows.to_json(orient="records"))
        done = subprocess.run(
            [sys.executable, "-c", SCENARIO, json.dumps(instances)],
            env=os.environ | vertex.environment(),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("= "))
    expected = duckdb.read_parquet(f"{predicted.path}/*.parquet").limit(12)
    return json.loads(line[2:]), expected.project("prediction_score, prediction_label").fetchall()


def test_the_endpoint_predicts_what_the_batch_component_predicts(answers):
    found, expected = answers
    assert [row["label"] for row in found["predictions"]] == [label for _, label in expected]
    assert [row["score"] for row in found["predictions"]] == pytest.approx([score for score, _ in expected])
    assert len({row["score"] for row in found["predictions"]}) > 3


def test_rows_that_do_not_fit_are_refused_with_the_reason(answers):
    found, _ = answers
    assert "do not fit the model's transform" in found["column"]
    assert "Could not convert string 'long'" in found["kind"]
    assert "expected JSON objects" in found["row"]
