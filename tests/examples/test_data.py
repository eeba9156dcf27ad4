"""The example tables from the real packages, and the parameters that stand beside the pipeline."""

import json
import socket
import threading
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import uvicorn
from kfp.dsl import Artifact, Dataset

import examples.data
from examples.data import example_tables, main
from trainwright.components.data.features import apply_features, fit_features
from trainwright.components.data.ingest import ingest
from trainwright.components.data.split import split
from trainwright.components.data.validate import read_rules, validate
from trainwright.local.storage import Storage, storage_app

PIPELINES = Path(examples.data.__file__).parents[1] / "pipelines"
TABLES = {"churn": (7043, 1869), "credit": (4454, 1254), "lending_club": (9857, 517), "cdnow": (23570, 18196)}


@pytest.mark.parametrize("name", TABLES)
def test_the_parameters_fit_the_table(tmp_path: Path, name: str) -> None:
    parameters = json.loads((PIPELINES / f"tabular_custom.{name}.json").read_text())
    assert main([name, str(tmp_path / "data")]) == 0
    assert parameters["source"] == f"gs://trainwright-local/data/{name}/*.parquet"
    sides = [Dataset(uri=str(tmp_path / side)) for side in ("train", "validation", "test", "tf", "vf")]
    dataset, transform = Dataset(uri=str(tmp_path / "all")), Artifact(uri=str(tmp_path / "transform"))
    ingest.python_func(dataset, str(tmp_path / "data" / name / "*.parquet"))
    label, columns = parameters["label"], dataset.metadata["columns"]
    assert {parameters["key"], *parameters["exclude"], *parameters["slice_columns"]} <= set(columns)
    assert parameters["key"] in parameters["exclude"] and label not in parameters["exclude"]
    checks = read_rules.python_func(parameters["rules"], label)
    validate.python_func(dataset, checks, Artifact(uri=str(tmp_path / "checks")))
    method = parameters.get("split_method", "hash")
    split.python_func(dataset, *sides[:3], key=parameters["key"], method=method, label=label)
    chosen = parameters["positive_class"], parameters["exclude"]
    fit_features.python_func(sides[0], transform, label, *chosen)
    for rows, features in zip(sides[:2], sides[3:], strict=True):
        apply_features.python_func(rows, transform, features)
    positive = duckdb.read_parquet(f"{dataset.path}/*.parquet").filter(
        duckdb.ColumnExpression(label) == duckdb.ConstantExpression(parameters["positive_class"])
    )
    assert (dataset.metadata["rows"], len(positive)) == TABLES[name]


def test_the_digits_are_three_parts_where_the_parameters_look(tmp_path: Path) -> None:
    parameters = json.loads((PIPELINES / "image_custom.mnist.json").read_text())
    assert main(["mnist", str(tmp_path)]) == 0
    rows = {}
    for part in ("train", "validation", "test"):
        assert parameters[part] == f"gs://trainwright-local/data/mnist/{part}.parquet"
        rows[part] = pq.read_table(tmp_path / "mnist" / f"{part}.parquet").to_pylist()
    assert [len(found) for found in rows.values()] == [3500, 500, 1000]
    everything = [row for found in rows.values() for row in found]
    assert all(row["image"].startswith(b"\x89PNG") for row in everything)
    assert {row["label"] for row in rows["test"]} == set("0123456789")


def test_same_bytes_and_nothing_written_when_they_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "churn" / "churn.parquet"
    assert main(["churn", str(tmp_path)]) == 0
    before = file.read_bytes(), file.stat().st_mtime_ns
    assert main(["churn", str(tmp_path)]) == 0
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert [line.rsplit(", ", 1)[1] for line in capsys.readouterr().out.splitlines()] == [
        "written",
        "unchanged",
    ]
    assert pq.read_schema(file).metadata is None


def test_cdnow_counts_before_the_cut_off_and_labels_after() -> None:
    rows = {row["customer_id"]: row for row in example_tables("cdnow")["cdnow"].to_pylist()}
    # In CDNOW_master.txt, 00003 bought on 1997-01-02, -03-30, -04-02, -11-15, -11-25 and 1998-05-28.
    third = rows["00003"]
    assert str(third["first_purchase"]) == "1997-01-02"
    assert (third["purchases"], third["days_since_last_purchase"], third["churned"]) == (5, 37, "no")
    assert (third["purchases_last_90_days"], third["days_since_first_purchase"]) == (2, 364)
    assert rows["00001"]["churned"] == "yes" and rows["00001"]["mean_days_between"] is None


def test_unknown_table_and_missing_bucket_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["chrun", "somewhere"])
    assert stopped.value.code == 2
    assert main(["churn", "gs://"]) == 2
    assert "expected gs://bucket/prefix" in capsys.readouterr().err


def test_an_object_in_a_bucket_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage(tmp_path / "storage", tmp_path / "storage.sqlite", project_number="100000000001")
    storage.create_bucket("examples")
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(storage_app(storage, token="token"), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{listener.getsockname()[1]}/token")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "trainwright-local")
    assert main(["credit", "gs://examples/data"]) == 0
    file = tmp_path / "storage" / "examples" / "data" / "credit" / "credit.parquet"
    before = file.read_bytes(), file.stat().st_mtime_ns
    assert main(["credit", "gs://examples/data/"]) == 0
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert main(["credit", "gs://exmaples/data"]) == 2
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        f"gs://examples/data/credit/credit.parquet: 4,454 rows, {done}" for done in ("written", "unchanged")
    ]
    assert "there is no bucket 'exmaples'" in told.err
    server.should_exit = True
    thread.join(10)
    storage.close()
