"""Training of image classifiers, as a Vertex AI custom job."""

from pathlib import Path
from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from trainwright.authoring.images import (
    PILLOW,
    PYARROW,
    PYTHON_IMAGE,
    SAFETENSORS,
    STORAGE,
    TENSORBOARDX,
    TORCH,
)
from trainwright.authoring.programs import Program
from trainwright.components.training.custom import (
    RUNTIME_FILES,
    Training,
    trained_model,
    training_job,
    worker_pools,
)

TORCH_IMAGE = Program(
    module="trainers.torch_image",
    root=Path(__file__).parents[2],
    files=(*RUNTIME_FILES, "trainers/torch_image"),
    packages=(PILLOW, PYARROW, SAFETENSORS, STORAGE, TENSORBOARDX, TORCH),
)
"""The program of `train_torch_image`; its arguments: `trainers.torch_image.settings.Settings`."""


@dsl.component(base_image=PYTHON_IMAGE)
def image_training_inputs(
    train: Input[Dataset],
    validation: Input[Dataset],
    test: Input[Dataset],
    job: list,
    directory: Output[Artifact],
) -> NamedTuple(  # type: ignore[valid-type]
    "ImageTrainingInputs",
    [("train_uri", str), ("validation_uri", str), ("test_uri", str), ("directory_uri", str)],
):
    """Gives a training job the URIs of its images and an output directory of its own.

    The directory is this task's artifact, so it is cached with the task: the same training finds its own
    directory again, and a training that failed goes on from its checkpoints there.

    Args:
        train: Images to train on.
        validation: Images to choose the best epoch by.
        test: Images to predict with it.
        job: All that the job depends on beside the data. Not read: it is here so that another job gets
            another directory instead of a cached one.
        directory: Where the job writes.

    Returns:
        The URIs of the inputs and of the directory.
    """
    return (train.uri, validation.uri, test.uri, directory.uri)


@dsl.pipeline(
    name="train-torch-image",
    description="A small convolutional network for images in classes, trained as a Vertex AI custom job.",
)
def train_torch_image(
    train: Input[Dataset],
    validation: Input[Dataset],
    test: Input[Dataset],
    image_column: str = "image",
    label_column: str = "label",
    size: int = 28,
    channels: int = 1,
    width: int = 16,
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float = 0.003,
    weight_decay: float = 0.01,
    shift: int = 2,
    metric: str = "accuracy",
    patience: int = 0,
    checkpoint_every: int = 50,
    seed: int = 0,
    display_name: str = "train-torch-image",
    machine_type: str = "n1-standard-8",
    accelerator_type: str = "",
    accelerator_count: int = 0,
    worker_count: int = 0,
    strategy: str = "STANDARD",
    timeout: str = "86400s",
    max_wait_duration: str = "86400s",
    restart_job_on_worker_restart: bool = False,
    labels: dict = {},  # noqa: B006 - KFP reads the default, nothing changes it
) -> Training:
    """Trains a small convolutional network for images in classes as a Vertex AI custom job.

    The job keeps checkpoints, and goes on from them to the same network after a preemption.

    Args:
        train: Images to train on: Parquet with a column of encoded images, or a folder with a folder for each
            class.
        validation: Likewise; measured after each epoch.
        test: Likewise; the best network's predictions for it are in the model directory.
        image_column: Column of the Parquet files with the encoded images (PNG, JPEG).
        label_column: Column of the Parquet files with the classes.
        size: Height and width in pixels that images are brought to, 8 or more.
        channels: 1 (grey) or 3 (colour).
        width: Channels of the network's first stage, a multiple of 8.
        epochs: Passes over the training images, 1 or more.
        batch_size: Images for each step, 1 or more.
        learning_rate: Greatest step of AdamW, above 0.
        weight_decay: Of AdamW, 0 or more.
        shift: Most pixels by which training images are moved each way, 0 or more.
        metric: What the best epoch is chosen by: "accuracy" or "loss".
        patience: Stops after so many epochs without a better metric; 0 never stops.
        checkpoint_every: Steps between two checkpoints, 1 or more.
        seed: The same seed, data and kind of machine give the same network.
        display_name: Name of the custom job.
        machine_type: Machine of every replica.
        accelerator_type: GPU of every replica, such as "NVIDIA_TESLA_T4"; empty for none.
        accelerator_count: GPUs of every replica, 0 or more; the program uses one.
        worker_count: Replicas beside the primary one, 0 or more; each trains on a part of the images.
        strategy: "STANDARD", "SPOT" or "FLEX_START" (Vertex AI API v1, `Scheduling.Strategy`).
        timeout: Longest time that the job may run, in seconds with an "s".
        max_wait_duration: Longest time that a FLEX_START job waits for its machine, in seconds with an "s".
        restart_job_on_worker_restart: Whether a replica that is restarted restarts the whole job.
        labels: Labels of the custom job.

    Returns:
        `model`: the model directory (model.safetensors, model.json, predictions.parquet). `metrics`: of the
        best epoch. `gcp_resources`: the custom job.
    """
    hyperparameters = [
        f"--image_column={image_column}",
        f"--label_column={label_column}",
        f"--size={size}",
        f"--channels={channels}",
        f"--width={width}",
        f"--epochs={epochs}",
        f"--batch_size={batch_size}",
        f"--learning_rate={learning_rate}",
        f"--weight_decay={weight_decay}",
        f"--shift={shift}",
        f"--metric={metric}",
        f"--patience={patience}",
        f"--checkpoint_every={checkpoint_every}",
        f"--seed={seed}",
    ]
    inputs = image_training_inputs(
        train=train,
        validation=validation,
        test=test,
        job=[TORCH_IMAGE.fingerprint, machine_type, accelerator_type, worker_count, *hyperparameters],
    ).set_display_name("Fix the training's directory")
    data = [
        f"--train={inputs.outputs['train_uri']}",
        f"--validation={inputs.outputs['validation_uri']}",
        f"--test={inputs.outputs['test_uri']}",
    ]
    pools = worker_pools(
        container_spec=TORCH_IMAGE.container_spec([*data, *hyperparameters]),
        machine_type=machine_type,
        accelerator_type=accelerator_type,
        accelerator_count=accelerator_count,
        worker_count=worker_count,
    ).set_display_name("Describe the worker pools")
    job = training_job(
        display_name=display_name,
        worker_pool_specs=pools.output,
        base_output_directory=inputs.outputs["directory_uri"],
        strategy=strategy,
        timeout=timeout,
        max_wait_duration=max_wait_duration,
        restart_job_on_worker_restart=restart_job_on_worker_restart,
        labels=labels,
    )
    described = trained_model(
        directory=inputs.outputs["directory_uri"], job=job.outputs["gcp_resources"]
    ).set_display_name("Describe the trained model")
    return Training(
        model=described.outputs["model"],
        metrics=described.outputs["metrics"],
        gcp_resources=job.outputs["gcp_resources"],
    )
