"""Pipelines of a user's own: what goes well, and what a task can die of."""

from google_cloud_pipeline_components.v1.custom_job import CustomTrainingJobOp
from kfp import dsl

from trainwright.components.evaluation.classes import evaluate_classes, predicted_images
from trainwright.components.training.custom import worker_pools
from trainwright.components.training.image import image_training_inputs

# ruff: noqa: T201 - what a component prints is its log


@dsl.component(base_image="python:3.11-slim")
def add(first: int, second: int) -> int:
    return first + second


@dsl.component(base_image="python:3.11-slim")
def nap(marker: str, seconds: float) -> str:
    import os
    import pathlib
    import time

    print(os.environ["VERTEX_AI_PIPELINES_RUN_LABELS"])

    # Once it has been interrupted and started again, it ends at once.
    file = pathlib.Path(marker)
    if file.exists():
        return "slept before"
    for tenth in range(int(seconds * 10)):
        print(f"asleep for {tenth / 10} s")
        file.touch()
        time.sleep(0.1)
    return "slept now"


@dsl.component(base_image="python:3.11-slim", packages_to_install=["no-such-package-trainwright==1"])
def need():
    import no_such_package_trainwright  # noqa: F401


@dsl.component(base_image="python:3.11-slim")
def refuse(text: str):
    print("a line of the component's own")
    raise ValueError(f"the text {text!r} will not do:\nexpected another")


@dsl.component(base_image="python:3.11-slim")
def fill(folder: str):
    import pathlib

    (pathlib.Path(folder) / "junk").write_bytes(bytes(1 << 30))


@dsl.container_component
def ask():
    # `test` is on this machine too, but what an image's own programs do is not for local Vertex to guess.
    return dsl.ContainerSpec(image="ghcr.io/acme/tool:1", command=["test", "-n", "mapped"])


@dsl.pipeline(name="adding")
def adding(first: int, second: int = 1) -> int:
    return add(first=first, second=second).output


@dsl.pipeline(name="napping")
def napping(marker: str, seconds: float = 600.0) -> str:
    return nap(marker=marker, seconds=seconds).after(add(first=1, second=2)).output


@dsl.pipeline(name="needing")
def needing():
    need()


@dsl.pipeline(name="refusing")
def refusing(text: str):
    refuse(text=text)


@dsl.pipeline(name="filling")
def filling(folder: str):
    fill(folder=folder)


@dsl.pipeline(name="asking")
def asking():
    ask()


@dsl.pipeline(name="training")
def training(worker_pool_specs: list):
    CustomTrainingJobOp(display_name="trainer", worker_pool_specs=worker_pool_specs)


@dsl.pipeline(name="judging")
def judging(folder: str):
    """What `image_custom` does around its training."""
    images = dsl.importer(artifact_uri=folder, artifact_class=dsl.Dataset).output
    image_training_inputs(train=images, validation=images, test=images, job=["a job"])
    worker_pools(
        container_spec={"image_uri": "python:3.11-slim"}, machine_type="n1-standard-4", worker_count=1
    )
    model = dsl.importer(artifact_uri=folder, artifact_class=dsl.Model)
    predicted = predicted_images(model=model.output)
    evaluate_classes(predictions=predicted.outputs["predictions"])
