import math
from collections.abc import Callable

import pytest

from trainwright.local.training.tuning.measurements import Metric
from trainwright.local.training.tuning.progress import Decision, decide
from trainwright.local.training.tuning.stopping import early_stop, predicted_final, study_is_over
from trainwright.local.training.tuning.study import (
    BAYESIAN,
    CONVEX,
    DECAY_CURVE,
    MEDIAN,
    Limit,
    StoppingRule,
    Study,
    StudyStopping,
)
from trainwright.local.training.tuning.trials import ACTIVE, INFEASIBLE, SUCCEEDED, Measurement, Trial

SCORE, LOSS = Metric("score", maximize=True), Metric("loss", maximize=False)


def trial(values: list[float], state: str = SUCCEEDED, metric: str = "score", **fields) -> Trial:
    measurements = tuple(
        Measurement(step + 1, 10.0 * (step + 1), {metric: value}) for step, value in enumerate(values)
    )
    final = measurements[-1] if state == SUCCEEDED and measurements else None
    return Trial("1", "job", {}, state, measurements, final, **fields)


@pytest.mark.parametrize(
    ("completed", "running", "stops"),
    [
        ([], [0.1], False),
        ([[0.2, 0.4]], [0.1], True),
        ([[0.2, 0.4]], [0.2], False),  # strictly below
        ([[0.2, 0.4]], [0.25, 0.1], True),  # the best, 0.25, is below the running average up to step 2: 0.3
        ([[0.2, 0.4]], [0.35, 0.1], False),
        ([[0.1], [0.2], [0.9]], [0.15], True),  # the median, not the mean
        ([[0.1], [0.2], [0.9]], [0.2], False),
    ],
)
def test_median(completed: list[list[float]], running: list[float], stops: bool) -> None:
    trials = [trial(values) for values in completed]
    assert (early_stop(StoppingRule(MEDIAN), SCORE, trial(running, ACTIVE), trials) is not None) == stops
    upside_down = [trial([-value for value in values], metric="loss") for values in completed]
    other = trial([-value for value in running], ACTIVE, "loss")
    assert (early_stop(StoppingRule(MEDIAN), LOSS, other, upside_down) is not None) == stops


def test_median_by_seconds_and_without_steps() -> None:
    no_steps = Trial("1", "j", {}, ACTIVE, (Measurement(0, 15.0, {"score": 0.25}),))
    trials = [trial([0.2, 0.4])]
    assert early_stop(StoppingRule(MEDIAN), SCORE, no_steps, trials) is None
    assert early_stop(StoppingRule(MEDIAN, by_seconds=True), SCORE, no_steps, trials) is None
    later = Trial("1", "j", {}, ACTIVE, (Measurement(0, 25.0, {"score": 0.25}),))
    assert early_stop(StoppingRule(MEDIAN, by_seconds=True), SCORE, later, trials) is not None


def saturating(top: float, rate: float) -> Callable[[int], list[float]]:
    return lambda steps: [top * (1 - math.exp(-rate * (step + 1))) for step in range(steps)]


GOOD = [saturating(0.7 + 0.02 * number, 0.2 + 0.01 * number)(30) for number in range(8)]


@pytest.mark.parametrize("kind", [DECAY_CURVE, CONVEX])
@pytest.mark.parametrize(
    ("curve", "steps", "stops"),
    [
        (saturating(0.3, 0.2), 15, True),
        (saturating(0.95, 0.2), 15, False),
        (saturating(0.84, 0.2), 2, None),
    ],
)
def test_a_curve_that_will_not_reach_the_best_is_stopped(
    kind: str, curve: Callable[[int], list[float]], steps: int, stops: bool | None
) -> None:
    completed = [trial(values) for values in GOOD]
    running = trial(curve(steps), ACTIVE)
    if (
        stops is None
    ):  # a regression through such equal curves can tell after two steps, an overestimate cannot
        stops = kind == DECAY_CURVE
    assert (early_stop(StoppingRule(kind), SCORE, running, completed) is not None) == stops
    few = completed[:4]
    assert early_stop(StoppingRule(kind), SCORE, running, few) is None


def test_convex_predicts_the_final_measurement() -> None:
    completed = [trial(values) for values in GOOD]
    running = trial(saturating(0.3, 0.2)(15), ACTIVE)
    stop = early_stop(StoppingRule(CONVEX), SCORE, running, completed)
    assert stop is not None and stop.predicted is not None
    assert stop.predicted.step == 30
    assert stop.predicted.metrics["score"] == pytest.approx(0.3, abs=0.01)
    # at 40 steps it could still come: the rule looks as far as it is told
    close = trial([0.04 * (step + 1) for step in range(15)], ACTIVE)
    assert early_stop(StoppingRule(CONVEX, max_step_count=16), SCORE, close, completed) is not None
    assert early_stop(StoppingRule(CONVEX, max_step_count=40), SCORE, close, completed) is None
    assert early_stop(StoppingRule(CONVEX, min_step_count=15), SCORE, running, completed) is None
    flat = trial([0.1] * 15, ACTIVE)
    assert early_stop(StoppingRule(CONVEX), SCORE, flat, completed) is None


def test_near_learning_rates_weigh_more() -> None:
    slow = [trial(saturating(0.5, 0.02)(30)) for _ in range(6)]
    fast = [trial(saturating(0.9, 0.3)(30)) for _ in range(6)]
    given = [
        Trial(each.id, "j", {"rate": rate}, each.state, each.measurements, each.final)
        for rate, group in ((0.001, slow), (0.1, fast))
        for each in group
    ]
    start = trial(saturating(0.5, 0.02)(5), ACTIVE)
    rule = StoppingRule(CONVEX, learning_rate="rate")
    predictions = {}
    for rate in (0.001, 0.1):
        asked = Trial("9", "j", {"rate": rate}, ACTIVE, start.measurements)
        found = predicted_final(rule, SCORE, asked, given, 30.0)
        assert found is not None
        predictions[rate] = found.metrics["score"]
    assert predictions[0.001] > predictions[0.1]  # slow curves keep more of their gains


def done(*finals: float, ends: list[float] | None = None) -> list[Trial]:
    return [
        trial([value], end=(ends or [float(n) for n in range(len(finals))])[number])
        for number, value in enumerate(finals)
    ]


@pytest.mark.parametrize(
    ("stopping", "trials", "now", "over"),
    [
        (StudyStopping(), done(1, 2), 1e9, False),
        (StudyStopping(maximum_runtime=Limit(duration=60)), [], 59, False),
        (StudyStopping(maximum_runtime=Limit(duration=60)), [], 60, True),
        (StudyStopping(maximum_runtime=Limit(end_time=50)), [], 50, True),
        (StudyStopping(maximum_runtime=Limit(duration=60), min_num_trials=2), done(1), 99, False),
        (StudyStopping(maximum_runtime=Limit(duration=60), min_num_trials=2), done(1, 2), 99, True),
        (StudyStopping(max_num_trials=2, minimum_runtime=Limit(duration=60)), done(1, 2), 59, False),
        (StudyStopping(max_num_trials=2, minimum_runtime=Limit(duration=60)), done(1, 2), 60, True),
        (StudyStopping(max_num_trials=2), [trial([], ACTIVE), trial([], ACTIVE)], 0, True),
        (StudyStopping(max_num_trials_no_progress=2), done(1, 3, 2), 0, False),
        (StudyStopping(max_num_trials_no_progress=2), done(1, 3, 2, 3), 0, True),
        (StudyStopping(max_num_trials_no_progress=2), done(1, 3, 2, 4), 0, False),
        (StudyStopping(max_duration_no_progress=10), done(1, 2, 0), 10.5, False),
        (StudyStopping(max_duration_no_progress=10), done(1, 2, 0), 11, True),
        (StudyStopping(max_duration_no_progress=10), [], 99, False),
    ],
)
def test_when_a_study_gets_no_more_trials(
    stopping: StudyStopping, trials: list[Trial], now: float, over: bool
) -> None:
    assert study_is_over(stopping, [SCORE], trials, began=0.0, now=now) == over


def study(**fields) -> Study:
    return Study(
        (), (SCORE,), BAYESIAN, False, None, fields.pop("stopping", StudyStopping()), 4, 2, 2, **fields
    )


RUNS, DONE = trial([], ACTIVE), trial([1.0])
FAILED = trial([], INFEASIBLE, failed=True, infeasible_reason="bad luck")
ENDED_WITH_THE_JOB = trial([], INFEASIBLE)
ASAP = StudyStopping(max_num_trials=1, should_stop_asap=True)
ERROR = "2 trials failed; the first was trial 1: bad luck"


@pytest.mark.parametrize(
    ("trials", "fields", "decision"),
    [
        ([], {}, Decision(wanted=2)),
        ([RUNS], {}, Decision(wanted=1)),
        ([RUNS, RUNS], {}, Decision()),
        ([DONE, DONE, DONE], {}, Decision(wanted=1)),
        ([DONE, DONE, DONE, RUNS], {}, Decision(over=True)),
        ([DONE] * 4, {}, Decision(over=True, state="JOB_STATE_SUCCEEDED")),
        ([DONE, DONE, DONE, FAILED], {}, Decision(over=True, state="JOB_STATE_SUCCEEDED")),
        ([DONE, FAILED], {}, Decision(wanted=2)),
        ([FAILED, RUNS, FAILED], {}, Decision(interrupt=True, over=True, error=ERROR)),
        (
            [FAILED, ENDED_WITH_THE_JOB, FAILED],
            {},
            Decision(interrupt=True, over=True, state="JOB_STATE_FAILED", error=ERROR),
        ),
        ([RUNS], {"cancelled": True}, Decision(interrupt=True, over=True)),
        ([DONE], {"cancelled": True}, Decision(interrupt=True, over=True, state="JOB_STATE_CANCELLED")),
        ([DONE], {"over": True}, Decision(over=True, state="JOB_STATE_SUCCEEDED")),
        ([RUNS], {"stopping": ASAP}, Decision(interrupt=True, over=True)),
    ],
)
def test_what_a_job_does_next(trials: list[Trial], fields: dict, decision: Decision) -> None:
    given = {"cancelled": False, "over": False, **fields}
    asked = study(stopping=given.pop("stopping", StudyStopping()))
    assert decide(asked, trials, began=0.0, now=1.0, **given) == decision
