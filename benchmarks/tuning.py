"""How good are the suggestions of a tuning job, and what do they cost? Beside Optuna's TPE and random search.

    python benchmarks/tuning.py                   everything: about ten minutes on two processors
    python benchmarks/tuning.py --seeds 3         a hint, in a third of the time
    python benchmarks/tuning.py --only quality    or cost

Quality: regret (best value found - optimum) after 30 trials, mean and standard error over the seeds, one
trial at a time and four at a time; of four, the one that was suggested first ends first. The functions are
Branin and Hartmann-6 (Surjanovic and Bingham, "Virtual Library of Simulation Experiments",
https://www.sfu.ca/~ssurjano/) and one with conditional, logarithmic, whole-numbered and unordered parameters.
TPE is Optuna's with its defaults, on the same parameters. Target, for the first two: at most half of TPE's
one at a time, at most TPE's four at a time.

Cost: a job of trials that do nothing but report, by the SDK against a local Vertex AI in the same process;
the seconds between the end of one and the start of the next. Target: below 0.3. Exits with 1 when a target
is missed.
"""

import argparse
import itertools
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna

from trainwright.local.server import LocalVertex
from trainwright.local.training.tuning.distributions import distribution_of, outside
from trainwright.local.training.tuning.space import active
from trainwright.local.training.tuning.study import Study, study_of
from trainwright.local.training.tuning.suggestions import suggest
from trainwright.local.training.tuning.trials import SUCCEEDED, Measurement, Trial

_TRIALS = 30
_TPE, _RANDOM, _DEFAULT = "Optuna TPE", "RANDOM_SEARCH", "ALGORITHM_UNSPECIFIED"
_A = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
_P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)
_ALPHA = (1.0, 1.2, 3.0, 3.2)


def branin(chosen: dict) -> float:
    """Regret of Branin's function: two dimensions, three optima."""
    x, y = chosen["x"], chosen["y"]
    hill = (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
    return hill + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.397887


def hartmann(chosen: dict) -> float:
    """Regret of Hartmann's function: six dimensions, six local optima."""
    point = [chosen[f"x{number}"] for number in range(6)]
    distances = [
        sum(a * (x - p) ** 2 for a, x, p in zip(row, point, center, strict=True))
        for row, center in zip(_A, _P, strict=True)
    ]
    return 3.32237 - sum(alpha * math.exp(-d) for alpha, d in zip(_ALPHA, distances, strict=True))


def mixed(chosen: dict) -> float:
    """Regret of a function like a tuning problem: what `depth` is good for depends on the kind of model."""
    regret = (math.log10(chosen["rate"]) + 2.3) ** 2 / 4
    if chosen["kind"] == "trees":
        regret += ((chosen["depth"] - 7) / 8) ** 2 + 0.3 * (chosen["bins"] != 64)
    else:
        regret += 0.15 + (chosen["width"] - 0.6) ** 2 + {"linear": 0.3, "net": 0.0}[chosen["kind"]]
    return regret


def _double(name: str, low: float, high: float, **fields: Any) -> dict:
    return {"parameterId": name, "doubleValueSpec": {"minValue": low, "maxValue": high}, **fields}


def _when(values: Sequence[str], spec: dict) -> dict:
    return {"parentCategoricalValues": {"values": list(values)}, "parameterSpec": spec}


_KINDS = {
    "parameterId": "kind",
    "categoricalValueSpec": {"values": ["linear", "net", "trees"]},
    "conditionalParameterSpecs": [
        _when(["trees"], {"parameterId": "depth", "integerValueSpec": {"minValue": 1, "maxValue": 16}}),
        _when(["trees"], {"parameterId": "bins", "discreteValueSpec": {"values": [16, 32, 64, 256]}}),
        _when(["linear", "net"], _double("width", 0, 1)),
    ],
}
_FUNCTIONS: dict[str, tuple[Callable[[dict], float], list[dict]]] = {
    "Branin": (branin, [_double("x", -5, 10), _double("y", 0, 15)]),
    "Hartmann-6": (hartmann, [_double(f"x{number}", 0, 1) for number in range(6)]),
    "mixed, conditional": (mixed, [_KINDS, _double("rate", 1e-5, 1, scaleType="UNIT_LOG_SCALE")]),
}


@dataclass(frozen=True)
class Search:
    """One search: what was found, and what the suggestions cost.

    Attributes:
        regret: Of its best trial.
        seconds: Of the processor, for each suggestion.
    """

    regret: float
    seconds: float


def search(function: str, sampler: str, parallel: int, seed: int) -> Search:
    """Searches with 30 trials."""
    value, specs = _FUNCTIONS[function]
    job = {
        "maxTrialCount": _TRIALS,
        "parallelTrialCount": parallel,
        "studySpec": {
            "parameters": specs,
            "metrics": [{"metricId": "regret", "goal": "MINIMIZE"}],
            "algorithm": _DEFAULT if sampler == _TPE else sampler,
        },
    }
    if sampler == _TPE:
        return _search_by_tpe(study_of(job), value, parallel, seed)
    study = study_of(job)
    trials: list[Trial] = []
    regrets: list[float] = []
    suggesting = 0.0

    def end(number: int) -> None:
        regrets.append(value(dict(trials[number].parameters)))
        final = Measurement(1, 1.0, {"regret": regrets[-1]})
        trials[number] = replace(trials[number], state=SUCCEEDED, final=final)

    for number in range(_TRIALS):
        if number >= parallel:
            end(number - parallel)
        before = time.process_time()
        parameters = suggest(study, trials, f"seed {seed}")
        suggesting += time.process_time() - before
        trials.append(Trial(str(number + 1), "", parameters or {}))
    for number in range(_TRIALS - parallel, _TRIALS):
        end(number)
    return Search(min(regrets), suggesting / _TRIALS)


def _search_by_tpe(study: Study, value: Callable[[dict], float], parallel: int, seed: int) -> Search:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    frame = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    running: list[tuple[optuna.Trial, float]] = []
    suggesting = 0.0
    for _ in range(_TRIALS):
        if len(running) == parallel:
            frame.tell(*running.pop(0))
        before = time.process_time()
        trial = frame.ask()
        chosen: dict[str, Any] = {}
        for parameter in active(study.parameters, chosen):
            drawn = trial._suggest(parameter.key, distribution_of(parameter))
            chosen[parameter.id] = outside(parameter, drawn)
        suggesting += time.process_time() - before
        running.append((trial, value(chosen)))
    for trial, regret in running:
        frame.tell(trial, regret)
    return Search(frame.best_value, suggesting / _TRIALS)


def quality(seeds: int) -> bool:
    """Prints the table of regrets; whether the targets are met."""
    met = True
    print("| function | at a time | sampler | regret | median | of TPE's | CPU s a suggestion |")
    print("|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for parallel in (1, 4):
            for function in _FUNCTIONS:
                mean_of_tpe = math.nan
                for sampler in (_TPE, _DEFAULT, _RANDOM):
                    count = range(seeds)
                    asked = [[each] * seeds for each in (function, sampler, parallel)]
                    found = list(pool.map(search, *asked, count))
                    regrets = [each.regret for each in found]
                    mean = statistics.fmean(regrets)
                    error = statistics.stdev(regrets) / math.sqrt(seeds) if seeds > 1 else math.nan
                    if sampler == _TPE:
                        mean_of_tpe = mean
                    elif sampler == _DEFAULT and function in ("Branin", "Hartmann-6"):
                        met &= mean <= mean_of_tpe * (0.5 if parallel == 1 else 1.0)
                    cost = statistics.fmean(each.seconds for each in found)
                    middle = statistics.median(regrets)
                    print(
                        f"| {function} | {parallel} | {sampler} | {mean:.3f} ± {error:.3f} | {middle:.3f}"
                        f" | {mean / mean_of_tpe:.2f} | {cost:.3f} |",
                        flush=True,
                    )
    return met


_REPORT = """
import sys, hypertune
x = float(sys.argv[1].partition("=")[2])
hypertune.HyperTune().report_hyperparameter_tuning_metric("score", -(x - 0.3) ** 2, global_step=1)
"""


def cost(trials: int = 20) -> bool:
    """Prints what a trial costs beyond its own run; whether the target is met."""
    with tempfile.TemporaryDirectory() as folder, LocalVertex(Path(folder) / "state") as vertex:
        os.environ.update(vertex.environment())
        from google.cloud import aiplatform
        from google.cloud.aiplatform import hyperparameter_tuning as hpt

        aiplatform.init(project="p", location="us-central1", staging_bucket="gs://trainwright-local")
        container = {"image_uri": "python:3.11-slim", "command": ["python3", "-c", _REPORT]}
        pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1}
        trial = aiplatform.CustomJob(
            display_name="trial", worker_pool_specs=[{**pool, "container_spec": container}]
        )
        job = aiplatform.HyperparameterTuningJob(
            display_name="cost",
            custom_job=trial,
            metric_spec={"score": "maximize"},
            parameter_spec={"x": hpt.DoubleParameterSpec(min=0, max=1, scale="linear")},
            max_trial_count=trials,
            parallel_trial_count=1,
        )
        job.run()
        spans = [(each.start_time.timestamp(), each.end_time.timestamp()) for each in job.trials]
        gaps = [after[0] - before[1] for before, after in itertools.pairwise(spans)]
        runs = statistics.fmean(end - start for start, end in spans)
    mean, most = statistics.fmean(gaps), max(gaps)
    print(
        f"\n{trials} trials, one at a time: {mean:.3f} s beyond a trial's own run of {runs:.2f} s"
        f" ({most:.3f} at most)"
    )
    return mean < 0.3


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Measure the suggestions of tuning jobs.")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", choices=["quality", "cost"])
    arguments = parser.parse_args()
    met = arguments.only == "cost" or quality(arguments.seeds)
    met &= arguments.only == "quality" or cost()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
