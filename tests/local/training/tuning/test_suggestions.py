import importlib.util
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from trainwright.local.training.tuning.space import Value, active
from trainwright.local.training.tuning.study import Study, study_of
from trainwright.local.training.tuning.suggestions import grid, suggest
from trainwright.local.training.tuning.trials import ACTIVE, INFEASIBLE, SUCCEEDED, Measurement, Trial

_spec = importlib.util.spec_from_file_location("tuning_conftest", Path(__file__).parent / "conftest.py")
support = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(support)


def searched(
    study: Study, value: Callable[[dict], dict | None], count: int, parallel: int = 1, name: str = "s"
) -> list[Trial]:
    """Trials of which `parallel` run at once; None from `value` makes one infeasible."""
    trials: list[Trial] = []
    for number in range(count):
        running = [n for n, trial in enumerate(trials) if not trial.has_ended]
        if len(running) >= parallel:
            trials[running[0]] = ended(trials[running[0]], value)
        parameters = suggest(study, trials, name)
        if parameters is None:
            break
        trials.append(Trial(str(number + 1), "job", parameters, ACTIVE))
    return [trial if trial.has_ended else ended(trial, value) for trial in trials]


def ended(trial: Trial, value: Callable[[dict], dict | None]) -> Trial:
    metrics = value(dict(trial.parameters))
    if metrics is None:
        return replace(trial, state=INFEASIBLE, failed=True)
    return replace(trial, state=SUCCEEDED, final=Measurement(1, 1.0, metrics))


def check(study: Study, chosen: dict[str, Value]) -> None:
    nodes = list(active(study.parameters, chosen))
    assert sorted(node.id for node in nodes) == sorted(chosen)
    for node in nodes:
        value = chosen[node.id]
        if node.values:
            assert value in node.values
        else:
            assert node.low <= value <= node.high
            assert isinstance(value, int) == (node.kind == "INTEGER")


@given(
    support.spaces(),
    st.sampled_from(["ALGORITHM_UNSPECIFIED", "RANDOM_SEARCH"]),
    st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=9, max_size=9),
    st.integers(1, 3),
)
@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_every_suggestion_is_of_the_space(
    specs: list[dict], algorithm: str, values: list[float | None], parallel: int
) -> None:
    study = study_of(support.job(*specs, algorithm=algorithm))
    told = iter(values)

    def value(chosen: dict) -> dict | None:
        found = next(told)
        return None if found is None else {"score": found}

    trials = searched(study, value, len(values), parallel)
    for trial in trials:
        check(study, dict(trial.parameters))
    # the same history gives the same suggestion: a restart changes nothing
    assert suggest(study, trials, "s") == suggest(study, trials, "s")


def test_a_grid_ends() -> None:
    study = study_of(
        support.job(support.integer("x", 1, 2), support.discrete("y", 0.5, 1.5), algorithm="GRID_SEARCH")
    )
    trials = searched(study, lambda chosen: {"score": 1.0}, 10, parallel=3)
    assert [trial.parameters for trial in trials] == list(grid(study.parameters)) and len(trials) == 4


def test_a_huge_grid_is_walked_lazily() -> None:
    study = study_of(
        support.job(*(support.integer(name, 1, 2**50) for name in "abc"), algorithm="GRID_SEARCH")
    )
    assert suggest(study, [], "s") == {"a": 1, "b": 1, "c": 1}


def branin(chosen: dict) -> dict:
    x, y = chosen["x"], chosen["y"]
    a, b, c, t = 1.0, 5.1 / (4 * math.pi**2), 5 / math.pi, 1 / (8 * math.pi)
    return {"loss": a * (y - b * x * x + c * x - 6) ** 2 + 10 * (1 - t) * math.cos(x) + 10 - 0.397887}


@pytest.mark.parametrize("parallel", [1, 4])
def test_the_default_finds_what_random_search_does_not(parallel: int) -> None:
    space = [support.double("x", -5, 10), support.double("y", 0, 15)]
    found = {}
    for algorithm in ("ALGORITHM_UNSPECIFIED", "RANDOM_SEARCH"):
        study = study_of(support.job(*space, metrics={"loss": "MINIMIZE"}, algorithm=algorithm))
        trials = searched(study, branin, 30, parallel)
        found[algorithm] = min(trial.final.metrics["loss"] for trial in trials if trial.final)
    assert found["ALGORITHM_UNSPECIFIED"] < 0.2 < found["RANDOM_SEARCH"]


def test_conditional_and_infeasible() -> None:
    """The good values are below one choice; a third of the space cannot be tried at all."""
    child = {"parentCategoricalValues": {"values": ["b"]}, "parameterSpec": support.double("y", 0, 1)}
    kinds = support.categorical("kind", "a", "b", "c", conditionalParameterSpecs=[child])
    study = study_of(support.job(kinds, support.double("x", 1e-4, 1, scaleType="UNIT_LOG_SCALE")))

    def value(chosen: dict) -> dict | None:
        if chosen["kind"] == "c":
            return None
        bonus = 2 - 4 * (chosen["y"] - 0.7) ** 2 if chosen["kind"] == "b" else 0
        return {"score": bonus - (math.log10(chosen["x"]) + 2) ** 2}

    trials = searched(study, value, 30, parallel=2)
    best = max((trial for trial in trials if trial.final), key=lambda trial: trial.final.metrics["score"])
    assert best.final.metrics["score"] > 1.95
    assert sum(trial.state == INFEASIBLE for trial in trials) < 10


def test_several_metrics_are_weighed_anew_each_time() -> None:
    study = study_of(
        support.job(support.double("x", 0, 1), metrics={"left": "MINIMIZE", "right": "MAXIMIZE"})
    )
    trials = searched(study, lambda chosen: {"left": chosen["x"] ** 2, "right": chosen["x"]}, 20)
    chosen = sorted(float(trial.parameters["x"]) for trial in trials[4:])
    assert chosen[0] < 0.25 and chosen[-1] > 0.75  # both ends of the front are looked at


def test_a_space_that_has_been_tried_out_still_gives_suggestions() -> None:
    study = study_of(support.job(support.categorical("kind", "a", "b")))
    trials = searched(study, lambda chosen: {"score": 1.0}, 8, parallel=2)
    assert len(trials) == 8 and {trial.parameters["kind"] for trial in trials} == {"a", "b"}
