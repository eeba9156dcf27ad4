"""The arguments of the program."""

from dataclasses import dataclass

from ..runtime import UserError

METRICS = ("accuracy", "loss")


@dataclass(frozen=True)
class Settings:
    """A small convolutional network for images in classes, with checkpoints and exact restarts.

    Attributes:
        train: Images to train on: Parquet (a file or a folder), or a folder with a folder for each class; gs://
            URI or path.
        validation: Likewise; measured after each epoch.
        test: Likewise, or empty; the best network's predictions for it go into the model directory.
        image_column: Column of the Parquet files with the encoded images.
        label_column: Column of the Parquet files with the classes.
        size: Height and width in pixels, 8 or more.
        channels: 1 (grey) or 3 (colour).
        width: Channels of the first stage, a multiple of 8.
        initial_weights: model.safetensors of an earlier training with the same width and channels, whose
            features are the start of this one; empty: from nothing.
        freeze_features: Trains the last layer only; of use with `initial_weights`.
        epochs: Passes over the training images, 1 or more.
        batch_size: Images of one replica between two steps, divided by `accumulate`; 1 or more.
        accumulate: Batches whose gradients are added before a step, 1 or more.
        learning_rate: Greatest step of AdamW, above 0; it falls to 0 along a cosine.
        weight_decay: Of AdamW, 0 or more.
        shift: Most pixels by which training images are moved each way, 0 or more.
        mixed_precision: "auto" (on a GPU bfloat16, or float16 with scaled gradients) or "off".
        metric: What the best epoch is chosen by, on the validation images: accuracy or loss.
        patience: Stops after so many epochs without a better metric; 0 never stops.
        checkpoint_every: Steps between two checkpoints, 1 or more.
        seed: The same seed, data, replicas and kind of machine give the same network.
    """

    train: str
    validation: str
    test: str = ""
    image_column: str = "image"
    label_column: str = "label"
    size: int = 28
    channels: int = 1
    width: int = 16
    initial_weights: str = ""
    freeze_features: bool = False
    epochs: int = 10
    batch_size: int = 64
    accumulate: int = 1
    learning_rate: float = 0.003
    weight_decay: float = 0.01
    shift: int = 2
    mixed_precision: str = "auto"
    metric: str = "accuracy"
    patience: int = 0
    checkpoint_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: expected 1 or more")
        for name in ("weight_decay", "shift", "patience"):
            if getattr(self, name) < 0:
                raise UserError(f"--{name} {getattr(self, name)}: expected 0 or more")
        if self.size < 8:
            raise UserError(f"--size {self.size}: expected 8 or more")
        if self.channels not in (1, 3):
            raise UserError(f"--channels {self.channels}: expected 1 or 3")
        if self.width < 8 or self.width % 8:
            raise UserError(f"--width {self.width}: expected a multiple of 8")
        if self.learning_rate <= 0:
            raise UserError(f"--learning_rate {self.learning_rate}: expected above 0")
        if self.mixed_precision not in ("auto", "off"):
            raise UserError(f"--mixed_precision {self.mixed_precision!r}: expected auto or off")
        if self.metric not in METRICS:
            raise UserError(f"--metric {self.metric!r}: expected {' or '.join(METRICS)}")
        if self.freeze_features and not self.initial_weights:
            raise UserError("--freeze_features true: expected --initial_weights beside it")
