"""Trains an image classifier on a spot machine, and says how good it is on images that it has not seen.

1. Import the images: three sets that no image is in twice.
2. Train a small convolutional network in a custom job: with checkpoints, so that a preempted machine costs
   minutes, and with its metrics in TensorBoard's event files.
3. Take the best epoch's predictions for the test images.
4. Evaluate them: metrics, for each class too, and which classes are confused.
"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Metrics, Model

from trainwright.components.evaluation.classes import evaluate_classes, predicted_images
from trainwright.components.training.image import train_torch_image

# ruff: noqa: B006 - KFP reads the defaults, nothing changes them


class ImageTraining(NamedTuple):
    """What the pipeline gives."""

    model: Model
    training_metrics: Metrics
    test_metrics: Metrics
    classification_metrics: ClassificationMetrics
    evaluation: Artifact


@dsl.pipeline(
    name="image-custom",
    description="Trains an image classifier on a spot machine, and says how good it is on other images.",
)
def image_custom(
    train: str,
    validation: str,
    test: str,
    image_column: str = "image",
    label_column: str = "label",
    size: int = 28,
    channels: int = 1,
    width: int = 16,
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float = 0.003,
    shift: int = 2,
    patience: int = 3,
    checkpoint_every: int = 50,
    seed: int = 0,
    model_name: str = "image-custom",
    machine_type: str = "n1-standard-8",
    accelerator_type: str = "",
    accelerator_count: int = 0,
    strategy: str = "SPOT",
    labels: dict = {},
) -> ImageTraining:
    """Trains an image classifier on a spot machine, and says how good it is on images that it has not seen.

    Args:
        train: Images to train on: the gs:// URI of a Parquet file or folder with encoded images, or of a
            folder with a folder for each class.
        validation: Likewise; they decide which epoch is the best.
        test: Likewise; they are looked at once, at the end.
        image_column: Column of the Parquet files with the encoded images (PNG, JPEG).
        label_column: Column of the Parquet files with the classes.
        size: Height and width in pixels that images are brought to.
        channels: 1 (grey) or 3 (colour).
        width: Channels of the network's first stage, a multiple of 8.
        epochs: Most passes over the training images.
        batch_size: Images for each step.
        learning_rate: Greatest step of the optimizer.
        shift: Most pixels by which training images are moved each way.
        patience: Stops after so many epochs without a better accuracy; 0 never stops.
        checkpoint_every: Steps between two checkpoints.
        seed: Of the training's random draws.
        model_name: Display name of the training job.
        machine_type: Machine of the training job.
        accelerator_type: "NVIDIA_TESLA_T4" and the like; empty for none.
        accelerator_count: GPUs of the machine; one is used.
        strategy: "SPOT", "STANDARD" or "FLEX_START".
        labels: Labels of the training job.
    """
    # 1. Import the images
    sets = [dsl.importer(artifact_uri=uri, artifact_class=Dataset) for uri in (train, validation, test)]
    for imported, name in zip(sets, ("training", "validation", "test"), strict=True):
        imported.set_display_name(f"Import the {name} images")

    # 2. Train
    training = train_torch_image(
        train=sets[0].output,
        validation=sets[1].output,
        test=sets[2].output,
        image_column=image_column,
        label_column=label_column,
        size=size,
        channels=channels,
        width=width,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        shift=shift,
        patience=patience,
        checkpoint_every=checkpoint_every,
        seed=seed,
        display_name=model_name,
        machine_type=machine_type,
        accelerator_type=accelerator_type,
        accelerator_count=accelerator_count,
        strategy=strategy,
        labels=labels,
    ).set_display_name("Train")

    # 3. Take the predictions
    predicted = predicted_images(model=training.outputs["model"]).set_display_name("Take the predictions")

    # 4. Evaluate
    evaluated = evaluate_classes(predictions=predicted.outputs["predictions"]).set_display_name("Evaluate")

    return ImageTraining(
        model=training.outputs["model"],
        training_metrics=training.outputs["metrics"],
        test_metrics=evaluated.outputs["metrics"],
        classification_metrics=evaluated.outputs["classification_metrics"],
        evaluation=evaluated.outputs["evaluation"],
    )
