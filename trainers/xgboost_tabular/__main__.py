"""python -m trainers.xgboost_tabular: see `Settings` for its arguments."""

import hashlib
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import xgboost

from ..cluster import begin_anew, progressed, read_cluster
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
    run,
    write_bytes,
)
from .collective import Collective, reason_of
from .data import Transform, read_matrix, read_transform

METRICS = {"logloss": min, "auc": max}
"""What early stopping can watch, and which of two values is the better one."""


@dataclass(frozen=True)
class Settings:
    """Gradient-boosted trees for a label of two classes, with early stopping, checkpoints and exact restarts.

    Attributes:
        train: Prepared rows, Parquet: one file or a folder; gs:// URI or path.
        validation: Likewise; decides when to stop.
        transform: The fitted feature transform, JSON; goes into the model directory.
        label: Column of the prepared rows to predict, 0 or 1.
        max_depth: Levels of a tree, 1 or more.
        learning_rate: Weight of each tree, above 0, at most 1.
        min_child_weight: Least sum of the hessian in a leaf, 0 or more; larger is more cautious.
        subsample: Fraction of the rows that each tree sees, above 0, at most 1.
        colsample_bytree: Fraction of the columns that each tree sees, above 0, at most 1.
        reg_lambda: L2 penalty of the leaves, 0 or more.
        rounds: Most trees, 1 or more.
        metric: What early stopping watches on the validation rows: logloss or auc.
        early_stopping_rounds: Stops after so many rounds without a better metric; 0 never stops.
        checkpoint_every: Rounds between two checkpoints, 1 or more.
        report_every: Rounds between two reports of the metrics on train and validation rows, 1 or more.
        seed: The same seed, data and number of threads give the same model, byte for byte.
    """

    train: str
    validation: str
    transform: str
    label: str = "label"
    max_depth: int = 3
    learning_rate: float = 0.05
    min_child_weight: float = 5.0
    subsample: float = 0.8
    colsample_bytree: float = 0.8
    reg_lambda: float = 1.0
    rounds: int = 1000
    metric: str = "logloss"
    early_stopping_rounds: int = 50
    checkpoint_every: int = 50
    report_every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        fractions = ("learning_rate", "subsample", "colsample_bytree")
        for name in fractions:
            if not 0 < getattr(self, name) <= 1:
                raise UserError(f"--{name} {getattr(self, name)}: expected above 0, at most 1")
        for name in ("max_depth", "rounds", "checkpoint_every", "report_every"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: expected 1 or more")
        for name in ("min_child_weight", "reg_lambda", "early_stopping_rounds"):
            if getattr(self, name) < 0:
                raise UserError(f"--{name} {getattr(self, name)}: expected 0 or more")
        if self.metric not in METRICS:
            raise UserError(f"--metric {self.metric!r}: expected {' or '.join(METRICS)}")


@dataclass
class Progress:
    """How far the boosting is: what a checkpoint keeps beside the trees."""

    rounds: int = 0
    best_round: int = 0
    best: dict[str, float] = field(default_factory=dict)
    """Metrics on the validation rows after the best round."""

    def note(self, metrics: dict[str, float], watched: str) -> None:
        """Counts one more round and its metrics."""
        self.rounds += 1
        before = self.best.get(watched)
        now = metrics[watched]
        if before is None or (now != before and METRICS[watched](now, before) == now):
            self.best_round, self.best = self.rounds, metrics


def train(settings: Settings) -> None:
    """Trains, alone or with the other replicas of the job.

    The primary replica writes model.ubj, model.json and transform.json to AIP_MODEL_DIR.
    """
    preemption = Preemption()
    replicas = Collective(read_cluster())
    try:
        _train(settings, replicas, preemption)
    except xgboost.core.XGBoostError as error:
        if not replicas.cluster.is_distributed:
            raise
        if preemption.requested:
            raise Preempted(
                "SIGTERM, as for the other replicas: a restart goes on from the last checkpoint"
            ) from None
        begin_anew(reason_of(error))


def _train(settings: Settings, replicas: Collective, preemption: Preemption) -> None:
    model = model_location()
    cluster = replicas.cluster
    threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
    transform = read_transform(settings.transform)
    with tempfile.TemporaryDirectory() as name:
        folder, own = Path(name), (cluster.rank, cluster.size)
        columns, label = transform.columns, settings.label
        rows = read_matrix(settings.train, "--train", columns, label, folder / "train", threads, own)
        # All replicas hold all validation rows: metrics are then exact, which AUC by parts is not.
        held_out = read_matrix(
            settings.validation, "--validation", columns, label, folder / "validation", threads
        )
    replicas.meet()
    total = replicas.total(rows.num_row(), float(rows.get_label().sum()))
    log(
        "INFO",
        f"{rows.num_row()} of {total[0]:.0f} rows to train on, {held_out.num_row()} to stop by",
        xgboost=xgboost.__version__,
    )
    location = checkpoint_location() if cluster.is_primary else ""
    checkpoints = Checkpoints(location, _identity(settings, cluster.size, total, held_out))
    reporter = Reporter(f"validation_{settings.metric}", writes=cluster.is_primary)
    booster, progress = _boost(settings, rows, held_out, checkpoints, preemption, threads, replicas, reporter)
    reporter.conclude(progress.rounds, _on("validation", progress.best))
    reporter.close()
    if cluster.is_primary:
        _write(model, booster[: progress.best_round], progress, transform)
        log("INFO", f"model of {progress.best_round} trees in {model}", **progress.best)
        checkpoints.clear()
    replicas.part()


def _boost(
    settings: Settings,
    rows: xgboost.DMatrix,
    held_out: xgboost.DMatrix,
    checkpoints: Checkpoints,
    preemption: Preemption,
    threads: int,
    replicas: Collective,
    reporter: Reporter,
) -> tuple[xgboost.Booster, Progress]:
    """Adds trees until early stopping or the last round, going on from the latest checkpoint.

    A booster that is loaded draws other random rows and columns than one that went on, because part of its
    random state is made at its first update. So a run that is never stopped loads its own checkpoints too:
    then both draw the same, and checkpoints are made at fixed rounds only, also after SIGTERM.
    """
    parameters = _parameters(settings, threads)
    saved = replicas.of_primary(checkpoints.latest())
    progress = Progress(**json.loads(saved["progress.json"])) if saved else Progress()
    trees = bytearray(saved["model.ubj"]) if saved else None
    booster = xgboost.Booster(parameters, [rows, held_out], model_file=trees)
    if saved:
        log("NOTICE", f"resumed after round {progress.rounds}")
    while progress.rounds < settings.rounds:
        booster.update(rows, progress.rounds)
        metrics = _metrics(booster, held_out, progress.rounds)
        progress.note(metrics, settings.metric)
        progressed()
        if progress.rounds % settings.report_every == 0:
            # Over replicas each tells of its own train rows, so that their AUC is a mean.
            trained = _metrics(booster, rows, progress.rounds)
            both = {**_on("train", trained), **_on("validation", metrics)}
            reporter.report(progress.rounds, both, best_round=progress.best_round)
        patience = settings.early_stopping_rounds
        if patience and progress.rounds - progress.best_round >= patience:
            log("INFO", f"stopped after round {progress.rounds}: best was {progress.best_round}")
            break
        if progress.rounds % settings.checkpoint_every == 0:
            trees = booster.save_raw("ubj")
            state = json.dumps(asdict(progress)).encode()
            checkpoints.save(progress.rounds, {"model.ubj": bytes(trees), "progress.json": state})
            booster = xgboost.Booster(parameters, [rows, held_out], model_file=trees)
        if preemption.requested:
            kept = progress.rounds - progress.rounds % settings.checkpoint_every
            raise Preempted(f"SIGTERM after round {progress.rounds}: a restart goes on after round {kept}")
    return booster, progress


def _parameters(settings: Settings, threads: int) -> dict[str, Any]:
    return {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "eval_metric": list(METRICS),
        "max_depth": settings.max_depth,
        "learning_rate": settings.learning_rate,
        "min_child_weight": settings.min_child_weight,
        "subsample": settings.subsample,
        "colsample_bytree": settings.colsample_bytree,
        "reg_lambda": settings.reg_lambda,
        "seed": settings.seed,
        # Seeds by (seed, round), not once a process.
        "seed_per_iteration": True,
        "nthread": threads,
    }


def _metrics(booster: xgboost.Booster, rows: xgboost.DMatrix, number: int) -> dict[str, float]:
    # "[7]\trows-logloss:0.42\trows-auc:0.84"
    parts = booster.eval_set([(rows, "rows")], number).split("\t")[1:]
    found = (part.removeprefix("rows-").rpartition(":") for part in parts)
    return {name: float(value) for name, _, value in found}


def _on(side: str, metrics: dict[str, float]) -> dict[str, float]:
    """Metrics under the names that say on which rows they are."""
    return {f"{side}_{name}": value for name, value in metrics.items()}


def _identity(settings: Settings, replicas: int, total: list[float], held_out: xgboost.DMatrix) -> str:
    """Names the run that a checkpoint belongs to: its arguments, its data, its replicas and the library."""
    data = [total, held_out.feature_names, held_out.num_row(), float(held_out.get_label().sum())]
    text = json.dumps([asdict(settings), replicas, data, xgboost.__version__])
    return hashlib.sha256(text.encode()).hexdigest()


def _write(location: str, booster: xgboost.Booster, progress: Progress, transform: Transform) -> None:
    description = {
        "framework": "xgboost",
        "framework_version": xgboost.__version__,
        "objective": "binary:logistic",
        "label": transform.label,
        "classes": transform.classes,
        "best_iteration": progress.best_round - 1,
        "rounds": progress.rounds,
        "metrics": _on("validation", progress.best),
    }
    write_bytes(join(location, "transform.json"), transform.content)
    write_bytes(join(location, "model.ubj"), bytes(booster.save_raw("ubj")))
    # Last, because readers look for it first.
    write_bytes(join(location, "model.json"), json.dumps(description, indent=2).encode())


if __name__ == "__main__":
    status = run(train, Settings, sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # the collective's own end would wait for replicas that may be gone
