"""python -m trainers.torch_image: see `Settings` for its arguments."""

import hashlib
import io
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import pyarrow
import pyarrow.parquet
import safetensors.torch
import torch

from ..cluster import begin_anew, read_cluster
from ..reporting import Reporter
from ..runtime import (
    Checkpoints,
    Preempted,
    Preemption,
    UserError,
    checkpoint_location,
    join,
    log,
    model_location,
    read_bytes,
    run,
    write_bytes,
)
from .data import Format, Images, read_images
from .network import Network
from .replicas import Replicas, tells_a_loss
from .settings import Settings
from .training import Training


def train(settings: Settings) -> None:
    """Trains, alone or with the other replicas of the job.

    The primary replica writes model.safetensors and model.json to AIP_MODEL_DIR, and predictions.parquet if
    there are test images.
    """
    preemption = Preemption()
    # One GPU for each replica: a machine with more is used by more replicas, as torchrun would.
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    replicas = Replicas(read_cluster(), device)
    torch.use_deterministic_algorithms(device.type == "cpu")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    try:
        _train(settings, replicas, device, preemption)
    except RuntimeError as error:
        if not (replicas.cluster.is_distributed and tells_a_loss(error)):
            raise
        if preemption.requested:
            raise Preempted("SIGTERM: a restart goes on from the last checkpoint") from None
        begin_anew(str(error).splitlines()[0])


def _train(settings: Settings, replicas: Replicas, device: torch.device, preemption: Preemption) -> None:
    model, cluster = model_location(), replicas.cluster
    form = Format(settings.size, settings.channels, settings.image_column, settings.label_column)
    own = (cluster.rank, cluster.size)
    with tempfile.TemporaryDirectory() as name:
        rows = read_images(settings.train, "--train", form, Path(name, "train"), own)
        held_out = read_images(
            settings.validation, "--validation", form, Path(name, "validation"), own, rows.classes
        )
    if len(rows.classes) < 2:
        raise UserError(f"--train {settings.train}: one class only, {rows.classes[0]!r}: nothing to learn")
    torch.manual_seed(settings.seed)
    network = _network(settings, len(rows.classes))
    replicas.meet()
    total = replicas.total([len(rows), len(held_out), float(rows.labels.sum())])
    log(
        "INFO",
        f"{len(rows)} of {total[0]:.0f} images to train on",
        device=device.type,
        torch=torch.__version__,
    )
    training = Training(settings, network, rows, held_out, replicas, device)
    location = checkpoint_location() if cluster.is_primary else ""
    checkpoints = Checkpoints(location, _identity(settings, cluster.size, total, rows))
    reporter = Reporter(f"validation_{settings.metric}", writes=cluster.is_primary)
    training.run(checkpoints, preemption, reporter)
    reporter.close()
    if cluster.is_primary:
        _write(model, settings, training, rows.classes, form)
        checkpoints.clear()


def _network(settings: Settings, classes: int) -> Network:
    network = Network(settings.channels, classes, settings.width)
    if settings.initial_weights:
        weights = safetensors.torch.load(read_bytes(settings.initial_weights))
        features = {name: weight for name, weight in weights.items() if name.startswith("features.")}
        try:
            network.load_state_dict({**network.state_dict(), **features})
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise UserError(
                f"--initial_weights {settings.initial_weights}: of another network: {reason}"
            ) from None
    if settings.freeze_features:
        network.features.requires_grad_(False)
    return network


def _identity(settings: Settings, replicas: int, total: list[float], rows: Images) -> str:
    """Names the run that a checkpoint belongs to: its arguments, its data, its replicas and the library."""
    text = json.dumps([asdict(settings), replicas, total, rows.classes, torch.__version__])
    return hashlib.sha256(text.encode()).hexdigest()


def _write(
    location: str, settings: Settings, training: Training, classes: tuple[str, ...], form: Format
) -> None:
    progress = training.progress
    training.network.load_state_dict(training.best_weights)
    if settings.test:
        with tempfile.TemporaryDirectory() as folder:
            images = read_images(settings.test, "--test", form, Path(folder), (0, 1), classes)
        write_bytes(join(location, "predictions.parquet"), _predictions(training, images))
    description = {
        "framework": "pytorch",
        "framework_version": torch.__version__,
        "architecture": "trainers.torch_image.network.Network",
        "channels": settings.channels,
        "size": settings.size,
        "width": settings.width,
        "label": settings.label_column,
        "classes": list(classes),
        "best_epoch": progress.best_epoch,
        "epochs": progress.step // training.steps_per_epoch,
        "metrics": progress.best,
    }
    write_bytes(join(location, "model.safetensors"), safetensors.torch.save(training.best_weights))
    # Last, because readers look for it first.
    write_bytes(join(location, "model.json"), json.dumps(description, indent=2).encode())
    log("INFO", f"network of epoch {progress.best_epoch} in {location}", **progress.best)


def _predictions(training: Training, images: Images) -> bytes:
    """Parquet: the class of each test image, the predicted one, and a score for each class."""
    scores = torch.cat(training.logits(images)).softmax(1)
    names = images.classes
    columns = {
        "label": [names[number] for number in images.labels.tolist()],
        "prediction": [names[number] for number in scores.argmax(1).tolist()],
        **{f"score_{name}": scores[:, number].numpy() for number, name in enumerate(names)},
    }
    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), content)
    return content.getvalue()


if __name__ == "__main__":
    status = run(train, Settings, sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # the process group's own end would wait for replicas that may be gone
