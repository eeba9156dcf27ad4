"""The trainer as Vertex starts it: a process with AIP_* in its environment."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet
import pytest
import xgboost

from trainwright.trainers.runtime import run
from trainwright.trainers.xgboost_tabular.__main__ import Settings, train

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    draw = numpy.random.default_rng(7)
    for split, rows in (("train", 3000), ("validation", 1000)):
        x = draw.normal(size=(rows, 6))
        label = (draw.random(rows) < 1 / (1 + numpy.exp(-(x[:, 0] + x[:, 1] * x[:, 2])))).astype("int64")
        columns = {f"x{i}": x[:, i] for i in range(6)} | {"label": label}
        table = pyarrow.table(columns)
        (folder / split).mkdir()
        half = rows // 2
        pyarrow.parquet.write_table(table[:half], folder / split / "part-00000.parquet")
        pyarrow.parquet.write_table(table[half:], folder / split / "part-00001.parquet")
    transform = {
        "version": 1,
        "label": "has bought",
        "classes": ["no", "yes"],
        "columns": [{"name": f"x{i}", "expression": f'CAST("x{i}" AS DOUBLE)'} for i in range(6)],
        "fitted_on_rows": 3000,
    }
    (folder / "transform.json").write_text(json.dumps(transform))
    return folder


def arguments(data: Path, **changes) -> list[str]:
    named = {name: data / name for name in ("train", "validation")} | {"transform": data / "transform.json"}
    return [f"--{name}={value}" for name, value in (named | changes).items()]


def command(data: Path, **changes) -> list[str]:
    return [sys.executable, "-m", "trainers.xgboost_tabular", *arguments(data, **changes)]


def environment(output: Path) -> dict[str, str]:
    folders = {"AIP_MODEL_DIR": f"{output}/model/", "AIP_CHECKPOINT_DIR": f"{output}/checkpoints/"}
    return {**os.environ, **folders, "OMP_NUM_THREADS": "1"}


def start(data: Path, output: Path, **changes) -> subprocess.Popen:
    return subprocess.Popen(
        command(data, **changes),
        env=environment(output),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> tuple[int, list[dict]]:
    printed, _ = process.communicate(timeout=120)
    return process.returncode, [json.loads(line) for line in printed.splitlines()]


def stop_after_checkpoint(process: subprocess.Popen, output: Path, number: signal.Signals) -> None:
    """Sends the signal once the run has saved something; fails when it ends before."""
    while not list(output.glob("checkpoints/checkpoint-*.zip")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.002)
    os.kill(process.pid, number)


# Learns slowly: the best trees come long after the stop.
SLOW = {"learning_rate": 0.02, "early_stopping_rounds": 100, "rounds": 2000, "checkpoint_every": 20}
# Overfits at once and stops long after its best round: what early stopping remembers decides the end.
OVERFIT = {"learning_rate": 0.3, "early_stopping_rounds": 600, "rounds": 2000, "checkpoint_every": 40}


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed")
    for name, settings in (("slow", SLOW), ("overfit", OVERFIT)):
        status, entries = finish(start(data, output / name, **settings))
        assert status == 0, entries
    return output


def model_files(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (output / "model").iterdir()}


@pytest.mark.parametrize(
    ("name", "settings", "number", "status"),
    [
        ("slow", SLOW, signal.SIGKILL, -signal.SIGKILL),
        ("slow", SLOW, signal.SIGTERM, 128 + signal.SIGTERM),
        ("overfit", OVERFIT, signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    data, undisturbed, tmp_path, name, settings, number, status
):
    first = start(data, tmp_path, **settings)
    stop_after_checkpoint(first, tmp_path, number)
    assert finish(first)[0] == status
    assert not (tmp_path / "model").exists()

    status, entries = finish(start(data, tmp_path, **settings))
    assert status == 0, entries
    [resumed] = [entry for entry in entries if entry["message"].startswith("resumed after round")]
    trees = json.loads((tmp_path / "model" / "model.json").read_text())["best_iteration"] + 1
    if name == "slow":
        assert int(resumed["message"].split()[-1]) < trees
    else:
        assert int(resumed["message"].split()[-1]) > trees
    assert model_files(tmp_path) == model_files(undisturbed / name)


def test_model_directory(data, undisturbed):
    undisturbed = undisturbed / "overfit"
    description = json.loads((undisturbed / "model" / "model.json").read_text())
    assert description["classes"] == ["no", "yes"]
    assert description["rounds"] == description["best_iteration"] + 1 + OVERFIT["early_stopping_rounds"]
    booster = xgboost.Booster(model_file=undisturbed / "model" / "model.ubj")
    assert booster.num_boosted_rounds() == description["best_iteration"] + 1
    assert description["metrics"]["validation_auc"] > 0.7
    copied = (undisturbed / "model" / "transform.json").read_bytes()
    assert copied == (data / "transform.json").read_bytes()
    assert not list((undisturbed / "checkpoints").iterdir())


def test_a_trial_reports_every_few_rounds_and_at_last_what_its_model_has(data, undisturbed, tmp_path):
    told = {"CLOUD_ML_HP_METRIC_FILE": f"{tmp_path}/trial", "CLOUD_ML_TRIAL_ID": "7"}
    told["AIP_TENSORBOARD_LOG_DIR"] = f"{tmp_path}/logs"
    done = subprocess.run(
        command(data, **SLOW, report_every=50, metric="auc"),
        env=environment(tmp_path) | told, cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    model = json.loads((tmp_path / "model" / "model.json").read_text())
    entries = [json.loads(line) for line in (tmp_path / "trial").read_text().splitlines()]
    assert {entry["trial"] for entry in entries} == {"7"}
    steps = [int(entry["global_step"]) for entry in entries]
    assert steps == [*range(50, model["rounds"] + 1, 50), model["rounds"]]
    values = [float(entry["validation_auc"]) for entry in entries]
    assert values[-1] == model["metrics"]["validation_auc"] == max(values)
    reports = [entry for entry in map(json.loads, done.stdout.splitlines()) if "step" in entry]
    assert [report["step"] for report in reports] == steps[:-1]
    assert all(report["train_auc"] > report["validation_auc"] for report in reports)
    [events] = [path.read_bytes() for path in (tmp_path / "logs").iterdir()]
    assert all(events.count(name) == len(reports) for name in (b"auc/train", b"logloss/validation"))


def test_another_runs_checkpoint_is_not_used(data, tmp_path):
    first = start(data, tmp_path, **OVERFIT)
    stop_after_checkpoint(first, tmp_path, signal.SIGTERM)
    finish(first)
    status, entries = finish(start(data, tmp_path, rounds=3))
    assert status == 0
    messages = [entry["message"] for entry in entries]
    assert any("of a run with other data or arguments" in message for message in messages), messages
    assert not any("resumed" in message for message in messages)


def changed(data: Path, tmp_path: Path, name: str, change) -> Path:
    table = pyarrow.parquet.read_table(data / "train" / "part-00000.parquet")
    path = tmp_path / name
    pyarrow.parquet.write_table(change(table), path)
    return path


def with_label(value):
    def change(table):
        column = pyarrow.array([value] * table.num_rows)
        return table.set_column(table.schema.get_field_index("label"), "label", column)

    return change


BAD_DATA = {
    "one_class": (with_label(1), "label 'label' has one class only, 1"),
    "null_label": (with_label(None), "label 'label' has one class only, None"),
    "no_label": (lambda table: table.drop_columns(["label"]), "no column 'label'"),
    "no_feature": (lambda table: table.rename_columns([*"abcde", "x55", "label"]), "no column 'x0'"),
    "empty": (lambda table: table[:0], "no rows"),
    "three_classes": (
        lambda table: table.set_column(6, "label", pyarrow.array([0, 1, 2] * 500)),
        "expected 0 and 1, found 3 values: 0, 1, 2",
    ),
}


def refusal(capsys, *arguments: str) -> str:
    """Runs the program in this process and returns the message of its only log entry."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run(train, Settings, arguments) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    [entry] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert entry["severity"] == "ERROR"
    assert "\n" not in entry["message"]
    return entry["message"]


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_one_line_and_status_1(data, tmp_path, capsys, monkeypatch, case):
    change, expected = BAD_DATA[case]
    monkeypatch.setenv("AIP_MODEL_DIR", str(tmp_path))
    rows = changed(data, tmp_path, f"{case}.parquet", change)
    assert expected in refusal(capsys, *arguments(data, train=rows))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train": "/nowhere"}, "/nowhere: neither a file nor a folder of .parquet files"),
        ({"learning_rat": "1"}, "unknown argument '--learning_rat=1'; did you mean --learning_rate"),
        ({"rounds": "many"}, "argument --rounds: invalid int value: 'many'"),
        ({"subsample": "1.5"}, "--subsample 1.5: expected above 0, at most 1"),
        ({"metric": "f1"}, "--metric 'f1': expected logloss or auc"),
        ({"label": "lable"}, "--train part-00000.parquet: no column 'lable'; nearest: 'label'"),
    ],
)
def test_bad_arguments_are_one_line_and_status_1(data, tmp_path, capsys, monkeypatch, changes, expected):
    monkeypatch.setenv("AIP_MODEL_DIR", str(tmp_path))
    assert refusal(capsys, *arguments(data, **changes)) == expected


def test_a_process_without_model_directory_exits_1(data):
    done = subprocess.run(command(data), cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["message"].startswith("AIP_MODEL_DIR is not set")
