"""The image trainer as Vertex starts it, on handwritten digits: alone, over two replicas, interrupted."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image
from sklearn.datasets import load_digits

pytest.importorskip("torch", reason="the extra `torch` is not installed")
pytest.importorskip("safetensors", reason="the extra `torch` is not installed")

REPOSITORY = Path(__file__).parents[2]
SETTINGS = {"size": 8, "width": 8, "epochs": 4, "batch_size": 32, "shift": 0, "checkpoint_every": 7}


def png(pixels: numpy.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray((pixels * 15.9).astype("uint8")).save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,797 digits of 8 x 8 pixels, as Parquet; the validation images also as folders of files."""
    folder, digits = tmp_path_factory.mktemp("digits"), load_digits()
    order = numpy.random.default_rng(0).permutation(len(digits.images))
    for name, chosen in (("train", order[:1000]), ("validation", order[1000:1400]), ("test", order[1400:])):
        images = [png(digits.images[number]) for number in chosen]
        labels = [str(digits.target[number]) for number in chosen]
        table = pyarrow.table({"image": images, "label": labels})
        pyarrow.parquet.write_table(table, folder / f"{name}.parquet")
    for number, (image, label) in enumerate(
        zip(table.column("image").to_pylist(), table.column("label").to_pylist(), strict=True)
    ):
        (folder / "folders" / label).mkdir(parents=True, exist_ok=True)
        (folder / "folders" / label / f"{number}.png").write_bytes(image)
    return folder


def start(data: Path, output: Path, rank: int = 0, ports: tuple[int, ...] = (), **changes: object):
    names = {name: data / f"{name}.parquet" for name in ("train", "validation", "test")}
    arguments = [f"--{name}={value}" for name, value in {**names, **SETTINGS, **changes}.items()]
    output.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "AIP_MODEL_DIR": f"{output}/model"}
    environment |= {
        "AIP_CHECKPOINT_DIR": f"{output}/checkpoints",
        "CLOUD_ML_HP_METRIC_FILE": f"{output}/trial",
    }
    if ports:
        addresses = [f"127.0.0.1:{port}" for port in ports]
        task = {"type": f"workerpool{min(rank, 1)}", "index": max(rank - 1, 0)}
        cluster = {"workerpool0": addresses[:1], "workerpool1": addresses[1:]}
        environment["CLUSTER_SPEC"] = json.dumps({"cluster": cluster, "task": task})
    with (output / f"{rank}.log").open("a") as log:
        command = [sys.executable, "-m", "trainers.torch_image", *arguments]
        return subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdout=log, stderr=log)


def said(output: Path, rank: int = 0) -> str:
    return (output / f"{rank}.log").read_text()


def metrics(output: Path) -> dict[str, float]:
    return json.loads((output / "model" / "model.json").read_text())["metrics"]


def after_checkpoint(process: subprocess.Popen, output: Path, number: signal.Signals) -> int:
    deadline = time.monotonic() + 120
    while not list(output.glob("checkpoints/*.zip")):
        assert time.monotonic() < deadline and process.poll() is None, said(output)
        time.sleep(0.005)
    process.send_signal(number)
    return process.wait(60)


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed")
    assert start(data, output).wait(240) == 0, said(output)
    return output


def test_it_learns_and_says_how_it_does_on_other_images(undisturbed: Path) -> None:
    found = metrics(undisturbed)
    assert found["validation_accuracy"] > 0.9
    rows = pyarrow.parquet.read_table(undisturbed / "model" / "predictions.parquet").to_pylist()
    assert len(rows) == 397
    assert sum(row["label"] == row["prediction"] for row in rows) / len(rows) > 0.85
    assert all(abs(sum(row[f"score_{digit}"] for digit in range(10)) - 1) < 1e-4 for row in rows)
    trial = [json.loads(line) for line in (undisturbed / "trial").read_text().splitlines()]
    assert [entry["global_step"] for entry in trial] == ["1", "2", "3", "4"]
    best = max(float(entry["validation_accuracy"]) for entry in trial)
    assert best == found["validation_accuracy"]
    assert not list((undisturbed / "checkpoints").iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_was_stopped_goes_on_to_the_same_network(
    data: Path, undisturbed: Path, tmp_path: Path, number: signal.Signals
) -> None:
    status = after_checkpoint(start(data, tmp_path), tmp_path, number)
    assert status == (-9 if number == signal.SIGKILL else 143)
    assert start(data, tmp_path).wait(240) == 0, said(tmp_path)
    assert "resumed after step" in said(tmp_path)
    weights = "model/model.safetensors"
    assert (tmp_path / weights).read_bytes() == (undisturbed / weights).read_bytes()


def test_two_replicas_train_together_also_when_one_is_killed(data: Path, tmp_path: Path) -> None:
    ports = free_ports()
    replicas = [start(data, tmp_path, rank, ports, accumulate=2) for rank in range(2)]
    assert after_checkpoint(replicas[1], tmp_path, signal.SIGKILL) == -9
    replicas[1] = start(data, tmp_path, 1, ports, accumulate=2)
    assert [replica.wait(240) for replica in replicas] == [0, 0], said(tmp_path) + said(tmp_path, 1)
    assert "a replica was lost" in said(tmp_path) and "resumed after step" in said(tmp_path, 1)
    assert "500 of 1000 images" in said(tmp_path)
    assert metrics(tmp_path)["validation_accuracy"] > 0.85


def free_ports() -> tuple[int, ...]:
    with socket.socket() as one, socket.socket() as two:
        for probe in (one, two):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def test_features_of_an_earlier_network_are_taken_over(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    weights = undisturbed / "model" / "model.safetensors"
    changes = {"initial_weights": weights, "freeze_features": True, "epochs": 1, "learning_rate": 0.05}
    assert start(data, tmp_path, validation=data / "folders", **changes).wait(240) == 0, said(tmp_path)
    assert metrics(tmp_path)["validation_accuracy"] > 0.5  # after one epoch of one layer
    narrow = start(data, tmp_path / "narrow", **{**changes, "width": 16})
    assert narrow.wait(120) == 1
    assert "--initial_weights" in said(tmp_path / "narrow") and "of another network" in said(
        tmp_path / "narrow"
    )


def test_a_loss_that_is_no_number_ends_it(data: Path, tmp_path: Path) -> None:
    assert start(data, tmp_path, learning_rate=1e30).wait(120) == 1
    assert "lower --learning_rate" in said(tmp_path)


def test_images_that_cannot_be_read_are_named(data: Path, tmp_path: Path) -> None:
    table = pyarrow.table({"image": [b"no image", b""], "label": ["a", "b"]})
    pyarrow.parquet.write_table(table, tmp_path / "bad.parquet")
    assert start(data, tmp_path / "a", train=tmp_path / "bad.parquet").wait(120) == 1
    assert "--train bad.parquet row 0: not an image that can be read" in said(tmp_path / "a")
    assert start(data, tmp_path / "b", label_column="lable").wait(120) == 1
    assert "no column 'lable'; nearest: 'label'" in said(tmp_path / "b")
