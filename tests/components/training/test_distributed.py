"""The graph components over custom jobs of several replicas and of images: what the job is asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet
import pytest
from kfp import compiler, dsl
from kfp.dsl import Artifact, Dataset

from trainwright.components.training.custom import worker_pools
from trainwright.components.training.distributed import train_xgboost_tabular_distributed
from trainwright.components.training.image import image_training_inputs, train_torch_image
from trainwright.trainers.torch_image.settings import Settings as ImageSettings
from trainwright.trainers.xgboost_tabular.__main__ import Settings as TabularSettings


def test_workers_run_the_program_of_the_primary_replica() -> None:
    container = {"image_uri": "python:3.11-slim"}
    pools = worker_pools.python_func(
        container, "n1-standard-8", worker_count=2, worker_machine_type="n1-standard-4"
    )
    assert pools == [
        {"machine_spec": {"machine_type": "n1-standard-8"}, "replica_count": 1, "container_spec": container},
        {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 2, "container_spec": container},
    ]
    [alone] = worker_pools.python_func(container, "n1-standard-8", "NVIDIA_TESLA_T4", 1)
    assert alone["machine_spec"]["accelerator_count"] == 1
    with pytest.raises(ValueError, match="expected accelerator_type beside it"):
        worker_pools.python_func(container, "n1-standard-8", accelerator_count=1)


@pytest.mark.parametrize(
    ("component", "settings"),
    [
        (train_xgboost_tabular_distributed, TabularSettings),
        (train_torch_image, ImageSettings),
    ],
)
def test_every_argument_of_the_program_is_one_of_its_settings(
    tmp_path: Path, component: object, settings: type
) -> None:
    path = tmp_path / "component.json"
    compiler.Compiler().compile(component, str(path))
    tasks = json.loads(path.read_text())["root"]["dag"]["tasks"]
    spec = tasks["worker-pools"]["inputs"]["parameters"]["container_spec"]["runtimeValue"]["constant"]
    arguments = [text.partition("=")[0].removeprefix("--") for text in spec["args"]]
    assert set(arguments) <= set(settings.__dataclass_fields__)
    assert {"train", "validation"} <= set(arguments)


@dsl.pipeline(name="distributed")
def distributed(train: str, validation: str, transform: str, workers: int) -> str:
    sets = [dsl.importer(artifact_uri=uri, artifact_class=Dataset) for uri in (train, validation)]
    fitted = dsl.importer(artifact_uri=transform, artifact_class=Artifact)
    trained = train_xgboost_tabular_distributed(
        train=sets[0].output,
        validation=sets[1].output,
        transform=fitted.output,
        worker_count=workers,
        rounds=20,
        early_stopping_rounds=0,
        checkpoint_every=10,
    )
    return trained.outputs["gcp_resources"]


def test_three_replicas_train_together_on_local_vertex(tmp_path: Path) -> None:
    draw = numpy.random.default_rng(1)
    for name, rows in (("train", 900), ("validation", 300)):
        values = draw.normal(size=rows)
        table = pyarrow.table({"x": values, "label": (values > 0).astype("int64")})
        pyarrow.parquet.write_table(table, tmp_path / f"{name}.parquet")
    described = {"label": "bought", "classes": ["no", "yes"], "columns": [{"name": "x"}]}
    (tmp_path / "transform.json").write_text(json.dumps(described))
    compiler.Compiler().compile(distributed, str(tmp_path / "distributed.yaml"))
    files = {name: tmp_path / f"{name}.parquet" for name in ("train", "validation")}
    given = {**files, "transform": tmp_path / "transform.json", "workers": 2}
    parameters = [word for name, value in given.items() for word in ("--param", f"{name}={value}")]
    done = subprocess.run(
        [Path(sys.executable).with_name("trainwright"), "run", "distributed.yaml", *parameters, "--json"],
        cwd=tmp_path,
        env={**os.environ, "TRAINWRIGHT_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    [job] = (tmp_path / "state" / "logs" / "customJobs").iterdir()
    logs = {path.stem: path.read_text() for path in job.iterdir()}
    assert set(logs) == {"workerpool0-0", "workerpool1-0", "workerpool1-1"}
    assert all("300 of 900 rows to train on" in text for text in logs.values())
    [model] = (tmp_path / "state" / "storage").rglob("model.json")
    assert json.loads(model.read_text())["metrics"]["validation_auc"] > 0.99


def test_the_images_uris_and_the_directory() -> None:
    found = image_training_inputs.python_func(
        **{name: Dataset(uri=f"gs://b/{name}") for name in ("train", "validation", "test")},
        job=[],
        directory=Artifact(uri="gs://b/directory"),
    )
    assert found == ("gs://b/train", "gs://b/validation", "gs://b/test", "gs://b/directory")
