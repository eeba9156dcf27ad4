"""Metrics of a training, to the log, to TensorBoard and to a hyperparameter tuning job.

Contract with the platform (Vertex AI, "Custom training code requirements" and "Use hyperparameter tuning",
2026-08-22):
    AIP_TENSORBOARD_LOG_DIR   where event files go; absent: there are none
    CLOUD_ML_HP_METRIC_FILE   where a trial's metrics go, as cloudml-hypertune 0.1.0.dev6 writes them; absent:
                              the program is no trial
"""

import json
import math
import os
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .runtime import join, log, write_bytes

_KEPT = 100  # entries of a trial's metric file, as in cloudml-hypertune
# Cloud Storage takes one write of an object a second (documentation, "Quotas and limits", 2026), and a quick
# program reports more often.
_SECONDS_BETWEEN_UPLOADS = 5.0


class Reporter:
    """Reports the metrics of a training as it goes on.

    Args:
        tag: The metric that a tuning job optimises: its id in the study, and its name in `report`.
        writes: Whether this replica reports; one of a job does.
    """

    def __init__(self, tag: str = "", *, writes: bool = True) -> None:
        self._tag = tag
        self._writes = writes
        self._events = os.environ.get("AIP_TENSORBOARD_LOG_DIR", "") if writes else ""
        self._trial_file = os.environ.get("CLOUD_ML_HP_METRIC_FILE", "") if writes else ""
        self._trial: deque[str] = deque(maxlen=_KEPT)
        self._writer: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._uploaded = -math.inf

    def report(self, step: int, metrics: Mapping[str, float], **fields: Any) -> None:
        """Reports metrics after a step.

        Args:
            step: Rounds, epochs or batches so far.
            metrics: Values by name, such as train_loss and validation_loss; those of train and validation
                side by side show where a model begins to overfit.
            **fields: More for the log alone.
        """
        if not self._writes:
            return
        shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        log("INFO", f"step {step}: {shown}", step=step, **metrics, **fields)
        self._to_trial(step, metrics)
        self._to_tensorboard(step, metrics)

    def conclude(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tells a tuning job what the finished model has, as the trial's last measurement.

        Args:
            step: Rounds, epochs or batches in all.
            metrics: Of the model, which may be an earlier step's than the last.
        """
        if self._writes:
            self._to_trial(step, metrics)

    def close(self) -> None:
        """Writes what is left."""
        if self._writer is not None and self._folder is not None:
            self._writer.close()
            self._upload()
            self._folder.cleanup()
            self._writer = None

    def _to_trial(self, step: int, metrics: Mapping[str, float]) -> None:
        if not self._trial_file or self._tag not in metrics:
            return
        # All values but the time are strings, and the file is written whole: the library's own format.
        entry = {
            "timestamp": time.time(),
            "trial": os.environ.get("CLOUD_ML_TRIAL_ID", "0"),
            self._tag: str(float(metrics[self._tag])),
            "global_step": str(int(step)),
            "checkpoint_path": "",
        }
        self._trial.append(json.dumps(entry, sort_keys=True) + "\n")
        write_bytes(self._trial_file, "".join(self._trial).encode())

    def _to_tensorboard(self, step: int, metrics: Mapping[str, float]) -> None:
        if not self._events:
            return
        if self._writer is None:
            from tensorboardX import SummaryWriter

            self._folder = tempfile.TemporaryDirectory()
            self._writer = SummaryWriter(self._folder.name)
        for name, value in metrics.items():
            side, _, quantity = name.partition("_")
            self._writer.add_scalar(f"{quantity}/{side}" if quantity else name, value, step)
        if time.monotonic() - self._uploaded >= _SECONDS_BETWEEN_UPLOADS:
            self._writer.flush()
            self._upload()
            self._uploaded = time.monotonic()

    def _upload(self) -> None:
        """Puts the event files where TensorBoard looks: an object is written whole, not appended to."""
        if self._folder is not None:
            for path in Path(self._folder.name).iterdir():
                write_bytes(join(self._events, path.name), path.read_bytes())
