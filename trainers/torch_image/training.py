"""The steps of a training, what a checkpoint keeps of them, and how the network does."""

import io
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..cluster import progressed
from ..reporting import Reporter
from ..runtime import Checkpoints, Preempted, Preemption, UserError, log
from .data import Images
from .network import Network, shifted
from .replicas import Replicas
from .settings import Settings

_EVALUATED = 512  # images at once


@dataclass
class Progress:
    """How far the training is: what a checkpoint keeps beside the weights."""

    step: int = 0
    best_epoch: int = 0
    best: dict[str, float] = field(default_factory=dict)
    summed_loss: float = 0.0
    """Of the steps of this epoch."""


class Training:
    """Trains a network.

    Args:
        settings: The arguments.
        network: Not trained yet.
        train: This replica's images.
        validation: Likewise.
        replicas: Who else trains.
        device: What this replica computes on.
    """

    def __init__(
        self,
        settings: Settings,
        network: Network,
        train: Images,
        validation: Images,
        replicas: Replicas,
        device: torch.device,
    ) -> None:
        self._settings = settings
        self._train, self._validation = train, validation
        self._replicas, self._device = replicas, device
        self.network = network.to(device)
        self._wrapped = replicas.wrapped(self.network)
        trained = [weight for weight in network.parameters() if weight.requires_grad]
        rate = settings.learning_rate
        self._optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=settings.weight_decay)
        rows = replicas.greatest(len(train))
        self.steps_per_epoch = math.ceil(rows / settings.batch_size)
        steps = settings.epochs * self.steps_per_epoch
        self._scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimizer, steps)
        self._precision = _precision(settings, device)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._precision is torch.float16)
        self.progress = Progress()
        self.best_weights: dict[str, torch.Tensor] = {}

    def run(self, checkpoints: Checkpoints, preemption: Preemption, reporter: Reporter) -> None:
        """Trains to the last epoch, or until patience is at its end; goes on from the latest checkpoint.

        Raises:
            Preempted: After SIGTERM, once the step is done and saved.
            UserError: The loss is no number any more.
        """
        self._restore(self._replicas.of_primary(checkpoints.latest()))
        settings, progress = self._settings, self.progress
        while progress.step < settings.epochs * self.steps_per_epoch:
            progress.summed_loss += self._step(progress.step)
            progress.step += 1
            progressed()
            if not progress.step % self.steps_per_epoch:
                self._end_epoch(progress.step // self.steps_per_epoch, reporter)
                if settings.patience and self._epoch() - progress.best_epoch >= settings.patience:
                    log("INFO", f"stopped after epoch {self._epoch()}: best was {progress.best_epoch}")
                    return
            must_leave = self._replicas.greatest(float(preemption.requested)) > 0
            if must_leave or not progress.step % settings.checkpoint_every:
                self._save(checkpoints)
            if must_leave:
                raise Preempted(f"SIGTERM: a restart goes on after step {progress.step}")

    def evaluate(self, images: Images) -> dict[str, float]:
        """Loss and accuracy over the images of all replicas."""
        loss = right = 0.0
        for logits, labels in zip(self.logits(images), images.labels.split(_EVALUATED), strict=True):
            loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
            right += float((logits.argmax(1) == labels).sum())
        loss, right, count = self._replicas.total([loss, right, len(images)])
        return {"loss": loss / count, "accuracy": right / count}

    @torch.no_grad()
    def logits(self, images: Images) -> list[torch.Tensor]:
        """Logits of images, a few hundred at a time, on the CPU."""
        self.network.eval()
        return [self.network(part.to(self._device)).float().cpu() for part in images.pixels.split(_EVALUATED)]

    def _epoch(self) -> int:
        return self.progress.step // self.steps_per_epoch

    def _step(self, step: int) -> float:
        """One step of the optimizer; gives the mean loss of its images, of this replica."""
        settings, images = self._settings, self._train
        epoch, place = divmod(step, self.steps_per_epoch)
        rank = self._replicas.cluster.rank
        order = torch.Generator().manual_seed(_seed(settings.seed, epoch, rank))
        chosen = torch.randperm(len(images), generator=order).repeat(2)
        # Replicas with fewer images begin anew with theirs: all must take the same number of steps.
        first = place * settings.batch_size % len(images)
        chosen = chosen[first : first + min(settings.batch_size, len(images))]
        # By (seed, step, replica): a restart draws what the undisturbed run drew, and keeps no random state.
        torch.manual_seed(_seed(settings.seed, step, rank))
        pixels, labels = shifted(images.pixels[chosen], settings.shift), images.labels[chosen]
        self.network.train()
        self._optimizer.zero_grad(set_to_none=True)
        parts = list(zip(*(data.chunk(settings.accumulate) for data in (pixels, labels)), strict=True))
        total = 0.0
        for number, (part, expected) in enumerate(parts):
            with self._replicas.without_exchange(self._wrapped, when=number + 1 < len(parts)):
                total += self._add_gradients(part, expected, len(chosen))
        if not math.isfinite(total):
            raise UserError(
                f"the loss is {total} at step {step + 1}: lower --learning_rate ({settings.learning_rate})"
            )
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._scheduler.step()
        return total

    def _add_gradients(self, pixels: torch.Tensor, labels: torch.Tensor, count: int) -> float:
        pixels, labels = pixels.to(self._device), labels.to(self._device)
        with torch.autocast(self._device.type, self._precision, enabled=self._precision is not None):
            logits = self._wrapped(pixels)
        loss = nn.functional.cross_entropy(logits.float(), labels, reduction="sum") / count
        self._scaler.scale(loss).backward()
        return float(loss.detach())

    def _end_epoch(self, epoch: int, reporter: Reporter) -> None:
        progress, watched = self.progress, self._settings.metric
        found = self.evaluate(self._validation)
        [trained] = self._replicas.total([progress.summed_loss])
        train_loss = trained / self.steps_per_epoch / self._replicas.cluster.size
        progress.summed_loss = 0.0
        metrics = {f"validation_{name}": value for name, value in found.items()}
        reporter.report(epoch, {"train_loss": train_loss, **metrics})
        before, now = progress.best.get(f"validation_{watched}"), found[watched]
        if before is None or (now > before if watched == "accuracy" else now < before):
            progress.best_epoch, progress.best = epoch, {"train_loss": train_loss, **metrics}
            self.best_weights = {
                name: weight.cpu().clone() for name, weight in self.network.state_dict().items()
            }

    def _save(self, checkpoints: Checkpoints) -> None:
        if not self._replicas.cluster.is_primary:
            return
        content = io.BytesIO()
        torch.save(self._state(), content)
        checkpoints.save(self.progress.step, {"state.pt": content.getvalue()})

    def _state(self) -> dict[str, Any]:
        return {
            "progress": vars(self.progress),
            "network": self.network.state_dict(),
            "best": self.best_weights,
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def _restore(self, saved: Any) -> None:
        if not saved:
            return
        # weights_only: tensors and plain values, nothing that runs.
        state = torch.load(io.BytesIO(saved["state.pt"]), map_location=self._device, weights_only=True)
        self.progress = Progress(**state["progress"])
        self.network.load_state_dict(state["network"])
        self.best_weights = {name: weight.cpu() for name, weight in state["best"].items()}
        for part in ("optimizer", "scheduler", "scaler"):
            getattr(self, f"_{part}").load_state_dict(state[part])
        log("NOTICE", f"resumed after step {self.progress.step}")


def _seed(*numbers: int) -> int:
    """A seed of several numbers, the same on every machine."""
    mixed = 0
    for number in numbers:
        mixed = (mixed * 1_000_003 + number + 1) % (1 << 63)
    return mixed


def _precision(settings: Settings, device: torch.device) -> torch.dtype | None:
    if settings.mixed_precision == "off" or device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
