"""Boosting over three replicas, as processes that find one another by CLUSTER_SPEC; some are killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet
import pytest

REPOSITORY = Path(__file__).parents[2]
SETTINGS = {"rounds": 200, "early_stopping_rounds": 0, "checkpoint_every": 10, "metric": "auc"}
REPLICAS = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    draw = numpy.random.default_rng(7)
    for split, rows, files in (("train", 6000, 4), ("validation", 1000, 1)):
        x = draw.normal(size=(rows, 6))
        label = (draw.random(rows) < 1 / (1 + numpy.exp(-(x[:, 0] + x[:, 1] * x[:, 2])))).astype("int64")
        table = pyarrow.table({f"x{i}": x[:, i] for i in range(6)} | {"label": label})
        (folder / split).mkdir()
        for number in range(files):
            part = table.slice(number * rows // files, rows // files)
            pyarrow.parquet.write_table(part, folder / split / f"part-{number}.parquet")
    columns = [{"name": f"x{i}"} for i in range(6)]
    transform = {"version": 1, "label": "bought", "classes": ["no", "yes"], "columns": columns}
    (folder / "transform.json").write_text(json.dumps(transform))
    return folder


class Job:
    """The replicas of one job, by rank."""

    def __init__(self, data: Path, output: Path, **changes: object) -> None:
        self.output = output
        names = {"train": data / "train", "validation": data / "validation"}
        given = {**names, "transform": data / "transform.json", **SETTINGS, **changes}
        self._arguments = [f"--{name}={value}" for name, value in given.items()]
        self._ports = [free_port() for _ in range(REPLICAS)]
        output.mkdir()
        self.replicas = [self.start(rank) for rank in range(REPLICAS)]

    def start(self, rank: int) -> "subprocess.Popen[bytes]":
        addresses = [f"127.0.0.1:{port}" for port in self._ports]
        task = {"type": f"workerpool{min(rank, 1)}", "index": max(rank - 1, 0)}
        spec = {"cluster": {"workerpool0": addresses[:1], "workerpool1": addresses[1:]}, "task": task}
        folders = {
            "AIP_MODEL_DIR": f"{self.output}/model",
            "AIP_CHECKPOINT_DIR": f"{self.output}/checkpoints",
        }
        with (self.output / f"{rank}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "trainers.xgboost_tabular", *self._arguments],
                env={**os.environ, **folders, "OMP_NUM_THREADS": "1", "CLUSTER_SPEC": json.dumps(spec)},
                cwd=REPOSITORY,
                stdout=log,
                stderr=log,
            )

    def end_after_checkpoint(self, rank: int, number: signal.Signals) -> int:
        """Sends a replica the signal once something is saved; its exit code."""
        deadline = time.monotonic() + 60
        while not list(self.output.glob("checkpoints/*.zip")):
            assert time.monotonic() < deadline and self.replicas[rank].poll() is None, self.said(rank)
            time.sleep(0.005)
        self.replicas[rank].send_signal(number)
        return self.replicas[rank].wait(60)

    def wait(self) -> None:
        for rank, replica in enumerate(self.replicas):
            assert replica.wait(240) == 0, self.said(rank)

    def said(self, rank: int) -> str:
        return (self.output / f"{rank}.log").read_text()

    def model(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.output / "model").iterdir()}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def jobs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Job]]:
    folder, made = tmp_path_factory.mktemp("jobs"), []

    def make(**changes: object) -> Job:
        made.append(Job(data, folder / str(len(made)), **changes))
        return made[-1]

    yield make
    for job in made:
        for replica in job.replicas:
            replica.kill()
            replica.wait()


@pytest.fixture(scope="module")
def undisturbed(jobs: Callable[..., Job]) -> dict[str, bytes]:
    job = jobs()
    job.wait()
    parts = [job.said(rank).partition(" rows to train on")[0].rpartition('"')[2] for rank in range(REPLICAS)]
    assert parts == ["3000 of 6000", "1500 of 6000", "1500 of 6000"]  # whole files, and no row twice
    assert json.loads(job.model()["model.json"])["metrics"]["validation_auc"] > 0.7
    return job.model()


@pytest.mark.parametrize(
    ("rank", "number"),
    [(1, signal.SIGKILL), (0, signal.SIGKILL), (2, signal.SIGTERM)],
    ids=["killed worker", "killed primary", "preempted worker"],
)
def test_a_lost_replica_is_met_again_and_the_model_is_the_same(
    jobs: Callable[..., Job], undisturbed: dict[str, bytes], rank: int, number: signal.Signals
) -> None:
    job = jobs()
    assert job.end_after_checkpoint(rank, number) == (-9 if number == signal.SIGKILL else 143)
    job.replicas[rank] = job.start(rank)
    job.wait()
    assert "resumed after round" in job.said(0)
    others = [other for other in range(REPLICAS) if other != rank]
    assert all("a replica was lost: meeting the others again" in job.said(other) for other in others)
    assert job.model() == undisturbed


def test_a_replicas_own_mistake_ends_it_with_one_line(jobs: Callable[..., Job]) -> None:
    job = jobs(label="lable")
    assert [replica.wait(60) for replica in job.replicas] == [1, 1, 1]
    assert "no column 'lable'; nearest: 'label'" in job.said(1)
