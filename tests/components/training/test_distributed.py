"""The graph components over custom jobs of several replicas and of images: what the job is asked for."""

import json
from pathlib import Path

from kfp import compiler
from kfp.dsl import Artifact, Dataset

from trainwright.components.training.distributed import train_xgboost_tabular_distributed
from trainwright.components.training.image import image_training_inputs, train_torch_image
from trainwright.trainers.torch_image.settings import Settings


def pools(component: object, folder: Path) -> list[dict]:
    path = folder / "component.json"
    compiler.Compiler().compile(component, str(path))
    tasks = json.loads(path.read_text())["root"]["dag"]["tasks"]
    parameters = tasks["custom-training-job"]["inputs"]["parameters"]
    return parameters["worker_pool_specs"]["runtimeValue"]["constant"]


def test_workers_run_the_program_of_the_primary_replica(tmp_path: Path) -> None:
    primary, workers = pools(train_xgboost_tabular_distributed, tmp_path)
    assert primary["replica_count"] == 1
    assert workers["replica_count"] == "{{$.inputs.parameters['pipelinechannel--worker_count']}}"
    assert workers["container_spec"] == primary["container_spec"]


def test_every_argument_of_the_image_program_is_one_of_its_settings(tmp_path: Path) -> None:
    [pool] = pools(train_torch_image, tmp_path)
    arguments = [text.partition("=")[0].removeprefix("--") for text in pool["container_spec"]["args"]]
    assert set(arguments) <= set(Settings.__dataclass_fields__)
    assert {"train", "validation", "test"} <= set(arguments)
    found = image_training_inputs.python_func(
        **{name: Dataset(uri=f"gs://b/{name}") for name in ("train", "validation", "test")},
        job=[],
        directory=Artifact(uri="gs://b/directory"),
    )
    assert found == ("gs://b/train", "gs://b/validation", "gs://b/test", "gs://b/directory")
