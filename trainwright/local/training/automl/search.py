"""Finds an ensemble: LightGBM with Optuna's TPE over folds, linear models, and weights for the best of them.

Measured on 2026-11 (credit and Ames, 60 s, two cores): LightGBM with Optuna and five folds ties with
AutoGluon best_quality and with a larger portfolio of our own; the least code of them is this. One thread per
model, folds side by side: with more, OpenMP's threads wait for one another by spinning.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import optuna
from sklearn.linear_model import LogisticRegression, Ridge

from .metrics import Loss
from .model import Lines, Trees, finished

optuna.logging.set_verbosity(optuna.logging.WARNING)

_WORKERS = os.cpu_count() or 1
_MOST_ROUNDS = 2000
_PATIENCE_ROUNDS = 50
_PATIENCE_TRIALS = 30
_KEPT = 5
_STEPS = 20
_FIRST: dict[str, Any] = {
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "lambda_l2": 1.0,
}


@dataclass(frozen=True)
class Data:
    """The rows to learn from, as numbers.

    Attributes:
        trees: For trees.
        lines: For linear models.
        categorical: Positions of categories in `trees`.
        truth: Class numbers, or values as the members are to predict them.
        weight: Of the rows.
        folds: Pairs of the rows to fit and those to judge by.
        class_count: 0 for a regression.
        is_logarithmic: Whether `truth` is log(1 + value).
    """

    trees: np.ndarray
    lines: np.ndarray
    categorical: list[int]
    truth: np.ndarray
    weight: np.ndarray
    folds: Sequence[tuple[np.ndarray, np.ndarray]]
    class_count: int
    is_logarithmic: bool

    @property
    def judged(self) -> np.ndarray:
        """The rows that some fold judges by, in the order of the folds."""
        return np.concatenate([rows for _, rows in self.folds])


@dataclass(frozen=True)
class Budget:
    """When a search ends: at a time, or after a number of trials, which is the same on every machine.

    Attributes:
        deadline: Of time.monotonic(); None: no time.
        models: Trials; 0: as many as there is time for.
        stops_early: Whether it ends when nothing gets better any more.
    """

    deadline: float | None
    models: int = 0
    stops_early: bool = True

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self.deadline is not None and time.monotonic() > self.deadline


@dataclass
class _Candidate:
    """A member and what it predicts for the judged rows."""

    member: Trees | Lines
    found: np.ndarray
    loss: float


class _OutOfTime(Exception):
    """The time ended within a trial."""


def search(
    data: Data, loss: Loss, objective: str, budget: Budget, seed: int, report: Callable[[str], None]
) -> tuple[list[Trees | Lines], list[float], np.ndarray]:
    """The best ensemble that the budget allows; there is always one.

    Args:
        data: To learn from.
        loss: What is to be small on the judged rows.
        objective: What trees minimize: "binary", "multiclass", "regression" or "regression_l1".
        budget: Its end.
        seed: The same seed, data and number of models give the same ensemble.
        report: Is told of progress, a line each.

    Returns:
        The members, their weights, and what the ensemble predicts for the judged rows.
    """
    truth = data.truth if not data.is_logarithmic else np.expm1(data.truth)
    judge = _judge(loss, truth[data.judged], data.weight[data.judged])
    with ThreadPoolExecutor(_WORKERS) as pool:
        candidates = [_lines(data, judge, pool)]
        report(f"linear: loss {candidates[0].loss:.5f}")
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
        study.enqueue_trial(_FIRST)
        best, since = np.inf, 0
        for number in range(budget.models or 10**9):
            trial = study.ask()
            try:
                candidate = _trees(data, judge, objective, _suggested(trial), seed, pool, budget, number == 0)
            except _OutOfTime:
                break
            study.tell(trial, candidate.loss)
            candidates = sorted([*candidates, candidate], key=lambda each: each.loss)[: _KEPT + 1]
            report(f"trial {number}: loss {candidate.loss:.5f}")
            since = 0 if candidate.loss < best else since + 1
            best = min(best, candidate.loss)
            if budget.is_over or (budget.stops_early and since >= _PATIENCE_TRIALS):
                break
    return _weighted(candidates, judge)


def _suggested(trial: optuna.trial.Trial) -> dict[str, Any]:
    return {
        "num_leaves": trial.suggest_int("num_leaves", 4, 256, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.2, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 5, 200, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
        "lambda_l2": trial.suggest_float("lambda_l2", 1e-3, 30.0, log=True),
    }


def _judge(loss: Loss, truth: np.ndarray, weight: np.ndarray) -> Callable[[np.ndarray], float]:
    return lambda found: loss(truth, found, weight)


def _trees(
    data: Data,
    judge: Callable[[np.ndarray], float],
    objective: str,
    parameters: dict[str, Any],
    seed: int,
    pool: ThreadPoolExecutor,
    budget: Budget,
    is_first: bool,
) -> _Candidate:
    """Trees with these parameters, a model each fold.

    There must be a model even if the time is short: the first trial's folds share what there is, and end
    with the rounds that they have had; a later trial that is out of time is none.

    Raises:
        _OutOfTime: The time ended before a later trial did.
    """
    settings = {
        **parameters,
        "objective": objective,
        "bagging_freq": 1,
        "num_threads": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    if objective == "multiclass":
        settings["num_class"] = data.class_count

    begun, waves = time.monotonic(), -(-len(data.folds) // _WORKERS)

    def fit(number: int, fold: tuple[np.ndarray, np.ndarray]) -> lightgbm.Booster:
        share = (number // _WORKERS + 1) / waves
        limit = begun + max(0.0, (budget.deadline or begun) - begun) * share

        def stop(environment: Any) -> None:
            if is_first and budget.deadline is not None and time.monotonic() > limit:
                found = environment.evaluation_result_list
                raise lightgbm.callback.EarlyStopException(environment.iteration, found)
            if not is_first and budget.is_over:
                raise _OutOfTime

        train, valid = (
            lightgbm.Dataset(
                data.trees[rows],
                data.truth[rows],
                weight=data.weight[rows],
                categorical_feature=data.categorical,
                params={"verbose": -1, "num_threads": 1},
                free_raw_data=True,
            )
            for rows in fold
        )
        valid.reference = train
        return lightgbm.train(
            settings,
            train,
            num_boost_round=_MOST_ROUNDS,
            valid_sets=[valid],
            callbacks=[lightgbm.early_stopping(_PATIENCE_ROUNDS, verbose=False), stop],
        )

    boosters = list(pool.map(fit, range(len(data.folds)), data.folds))
    raw = np.concatenate(
        [
            Trees([booster]).raw(data.trees[rows], data.lines[rows])
            for booster, (_, rows) in zip(boosters, data.folds, strict=True)
        ]
    )
    return _candidate(Trees(boosters), raw, data, judge)


def _lines(data: Data, judge: Callable[[np.ndarray], float], pool: ThreadPoolExecutor) -> _Candidate:
    """Linear models: hardly the best, but of another kind than trees, which an average gains from."""

    def fit(fold: tuple[np.ndarray, np.ndarray]) -> list[list[float]]:
        rows = fold[0]
        model = LogisticRegression(C=0.5, max_iter=500) if data.class_count else Ridge(alpha=10.0)
        model.fit(data.lines[rows], data.truth[rows], sample_weight=data.weight[rows])
        coefficients = np.atleast_2d(model.coef_)
        intercepts = np.atleast_1d(model.intercept_)[:, None]
        return np.hstack([coefficients, intercepts]).tolist()

    coefficients = list(pool.map(fit, data.folds))
    is_classification = bool(data.class_count)
    raw = np.concatenate(
        [
            Lines([each], is_classification).raw(data.trees[rows], data.lines[rows])
            for each, (_, rows) in zip(coefficients, data.folds, strict=True)
        ]
    )
    return _candidate(Lines(coefficients, is_classification), raw, data, judge)


def _candidate(
    member: Trees | Lines, raw: np.ndarray, data: Data, judge: Callable[[np.ndarray], float]
) -> _Candidate:
    found = finished(raw, is_classification=bool(data.class_count), is_logarithmic=data.is_logarithmic)
    return _Candidate(member, found, judge(found))


def _weighted(
    candidates: Sequence[_Candidate], judge: Callable[[np.ndarray], float]
) -> tuple[list[Trees | Lines], list[float], np.ndarray]:
    """Weights by greedy selection with replacement (Caruana et al., ICML 2004), from the best one on."""
    chosen = [min(range(len(candidates)), key=lambda number: candidates[number].loss)]
    total = candidates[chosen[0]].found
    best, best_count = judge(total), 1
    for _ in range(_STEPS - 1):
        sums = [total + candidate.found for candidate in candidates]
        losses = [judge(each / (len(chosen) + 1)) for each in sums]
        number = int(np.argmin(losses))
        chosen.append(number)
        total = sums[number]
        if losses[number] < best:
            best, best_count = losses[number], len(chosen)
    kept = chosen[:best_count]
    numbers = sorted(set(kept))
    weights = [kept.count(number) / len(kept) for number in numbers]
    found = sum(w * candidates[number].found for w, number in zip(weights, numbers, strict=True))
    return [candidates[number].member for number in numbers], weights, np.asarray(found)
