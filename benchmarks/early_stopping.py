"""What does early stopping save, and what does it cost? XGBoost on the Telco churn table.

    python benchmarks/early_stopping.py [--seeds 3] [--trials 24]

Studies with each stopping rule and with none: boosting of 200 rounds a trial, the area under the ROC curve
of the validation rows reported every 10 rounds, one trial at a time, the best measurement counts. The area on
the test rows is that of the best trial, at its best round. Target for the median rule: at least 35 % of the
rounds saved at no more than 0.002 of that area, on average over the seeds. Exits with 1 when it is missed.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pandas
import xgboost
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.data import example_tables
from trainwright.local.training.tuning.measurements import final_of
from trainwright.local.training.tuning.stopping import early_stop
from trainwright.local.training.tuning.study import CONVEX, DECAY_CURVE, MEDIAN, Study, study_of
from trainwright.local.training.tuning.suggestions import suggest
from trainwright.local.training.tuning.trials import ACTIVE, SUCCEEDED, Measurement, Trial

_ROUNDS, _EVERY = 200, 10
_LOG = {"scaleType": "UNIT_LOG_SCALE"}
_PARAMETERS = [
    {"parameterId": "learning_rate", "doubleValueSpec": {"minValue": 0.003, "maxValue": 0.5}, **_LOG},
    {"parameterId": "max_depth", "integerValueSpec": {"minValue": 1, "maxValue": 12}},
    {"parameterId": "min_child_weight", "doubleValueSpec": {"minValue": 0.1, "maxValue": 100}, **_LOG},
    {"parameterId": "subsample", "doubleValueSpec": {"minValue": 0.3, "maxValue": 1}},
    {"parameterId": "reg_lambda", "doubleValueSpec": {"minValue": 0.01, "maxValue": 100}, **_LOG},
]


def tables() -> dict[str, xgboost.DMatrix]:
    """Train, validation and test rows: 60, 20 and 20 %."""
    frame = example_tables("churn")["churn"].to_pandas().drop(columns="customer_id")
    label = frame.pop("churn").astype(str).str.lower().isin(["yes", "true", "1"]).to_numpy()
    features = pandas.get_dummies(frame).astype(float)
    part = numpy.random.default_rng(0).random(len(frame))
    rows = {"train": part < 0.6, "validation": (part >= 0.6) & (part < 0.8), "test": part >= 0.8}
    return {name: xgboost.DMatrix(features[which], label[which]) for name, which in rows.items()}


def run(study: Study, data: Mapping[str, xgboost.DMatrix], name: str, count: int) -> tuple[int, float]:
    """Searches; how many rounds were boosted, and the area under the curve on the test rows."""
    trials: list[Trial] = []
    rounds, areas = 0, []
    for number in range(count):
        chosen: dict[str, Any] = dict(suggest(study, trials, name) or {})
        settings = {**chosen, "objective": "binary:logistic", "nthread": 1, "seed": number}
        trial = Trial(str(number + 1), "", chosen, ACTIVE)
        booster = None
        while len(trial.measurements) * _EVERY < _ROUNDS:
            booster = xgboost.train(settings, data["train"], _EVERY, xgb_model=booster)
            rounds += _EVERY
            area = roc_auc_score(data["validation"].get_label(), booster.predict(data["validation"]))
            step = (len(trial.measurements) + 1) * _EVERY
            measured = Measurement(step, float(step), {"auc": float(area)})
            trial = replace(trial, measurements=(*trial.measurements, measured))
            if study.rule and early_stop(study.rule, study.metrics[0], trial, trials):
                trial = replace(trial, stopped=True)
                break
        final = final_of(trial.measurements, study.metrics, best=True)
        assert booster is not None and final is not None
        trials.append(replace(trial, state=SUCCEEDED, final=final))
        scores = booster.predict(data["test"], iteration_range=(0, final.step))
        areas.append((final.metrics["auc"], float(roc_auc_score(data["test"].get_label(), scores))))
    return rounds, max(areas)[1]


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Measure what early stopping saves.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=24)
    arguments = parser.parse_args()
    data = tables()
    print("| rule | rounds | saved | area on the test rows | lost |\n|---|---|---|---|---|")
    found: dict[str, tuple[float, float]] = {}
    for rule in ("none", MEDIAN, DECAY_CURVE, CONVEX):
        job = {
            "maxTrialCount": arguments.trials,
            "parallelTrialCount": 1,
            "studySpec": {
                "parameters": _PARAMETERS,
                "metrics": [{"metricId": "auc", "goal": "MAXIMIZE"}],
                "measurementSelectionType": "BEST_MEASUREMENT",
                **({} if rule == "none" else {rule: {}}),
            },
        }
        names = [f"seed {seed}" for seed in range(arguments.seeds)]
        runs = [run(study_of(job), data, name, arguments.trials) for name in names]
        rounds = statistics.fmean(each[0] for each in runs)
        area = statistics.fmean(each[1] for each in runs)
        base = found.setdefault("none", (rounds, area))
        found[rule] = (1 - rounds / base[0], base[1] - area)
        saved, lost = found[rule] if rule != "none" else (0.0, 0.0)
        print(f"| {rule} | {rounds:.0f} | {saved:.0%} | {area:.4f} | {lost:+.4f} |", flush=True)
        if rule == "none":
            found["none"] = base
    saved, lost = found[MEDIAN]
    return 0 if saved >= 0.35 and lost <= 0.002 else 1


if __name__ == "__main__":
    sys.exit(main())
