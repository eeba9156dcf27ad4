"""The distributed XGBoost trainer as a spot job that is preempted: the same model as undisturbed."""

import json
import time
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet

HOUSE = Path(__file__).parents[3]
NAME = "projects/trainwright-local/locations/us-central1/customJobs/77"
ROUNDS, EVERY = 100, 10  # seconds are left after the first checkpoint


def make_data(folder: Path) -> list[str]:
    """Makes rows of two classes, two files to train on; gives the trainer's arguments for them."""
    draw = numpy.random.default_rng(7)
    for split, rows, files in (("train", 2000, 2), ("validation", 500, 1)):
        x = draw.normal(size=(rows, 2))
        label = (draw.random(rows) < 1 / (1 + numpy.exp(-(x[:, 0] + x[:, 1])))).astype("int64")
        table = pyarrow.table({"x0": x[:, 0], "x1": x[:, 1], "label": label})
        (folder / split).mkdir(parents=True)
        for number in range(files):
            part = table.slice(number * rows // files, rows // files)
            pyarrow.parquet.write_table(part, folder / split / f"part-{number}.parquet")
    columns = [{"name": "x0"}, {"name": "x1"}]
    transform = {"version": 1, "label": "bought", "classes": ["no", "yes"], "columns": columns}
    (folder / "transform.json").write_text(json.dumps(transform))
    names = {"train": "train", "validation": "validation", "transform": "transform.json"}
    return [f"--{name}={folder / file}" for name, file in names.items()]


def test_preempted_distributed_training_gives_the_same_model(room, tmp_path: Path) -> None:
    arguments = [*make_data(tmp_path / "data"), f"--rounds={ROUNDS}", f"--checkpoint_every={EVERY}"]
    models = []
    for name in ("calm", "preempted"):
        folder = room.state / "storage" / "bucket" / name
        variables = {
            "PYTHONPATH": HOUSE,
            "AIP_MODEL_DIR": folder / "model",
            "AIP_CHECKPOINT_DIR": folder / "kept",
        }
        container = {
            "imageUri": "python:3.11-slim",
            "command": ["python3", "-m", "trainers.xgboost_tabular"],
            "args": [*arguments, "--early_stopping_rounds=0"],
            "env": [{"name": key, "value": str(value)} for key, value in variables.items()],
        }
        pool = {
            "machineSpec": {"machineType": "n1-standard-4"},
            "replicaCount": "1",
            "containerSpec": container,
        }
        room.store.delete(f"{NAME}/run")
        room.start({"workerPoolSpecs": [pool, pool], "scheduling": {"strategy": "SPOT"}})
        if name == "preempted":
            deadline = time.monotonic() + 60
            while not list(folder.glob("kept/*.zip")):
                assert time.monotonic() < deadline, room.logs()
                time.sleep(0.001)
            room.jobs.preempt(NAME)
        found = room.wait_for("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED")
        assert found["state"] == "JOB_STATE_SUCCEEDED", (found, room.logs())
        models.append({path.name: path.read_bytes() for path in (folder / "model").iterdir()})
    assert found["preemptions"] == 1 and "resumed after round" in room.log()
    assert models[0] == models[1]
