"""When a running trial is stopped early, and when a study gets no more trials: functions of measurements.

The rules are those of the fields' documentation in google-cloud-aiplatform 1.165.1, types/study.py. What it
leaves open is chosen here and said where it is.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from trainwright.local.training.tuning.measurements import Metric
from trainwright.local.training.tuning.study import CONVEX, MEDIAN, StoppingRule, StudyStopping
from trainwright.local.training.tuning.trials import SUCCEEDED, Measurement, Trial

_LOW_PROBABILITY = 0.05
# A regression through fewer curves than these says nothing about another one.
_FEWEST_CURVES = 5
_CURVE_POINTS = 3


@dataclass(frozen=True)
class Curve:
    """A trial's objective over steps or seconds, turned so that larger is better.

    Attributes:
        places: Increasing.
        values: At these places.
    """

    places: tuple[float, ...]
    values: tuple[float, ...]

    def at(self, place: float) -> float:
        """The value at a place, on the line between its neighbours; beyond the ends, that of the end."""
        if place <= self.places[0]:
            return self.values[0]
        for (x, y), (x1, y1) in itertools.pairwise(self._points):
            if place <= x1:
                return y + (y1 - y) * (place - x) / (x1 - x)
        return self.values[-1]

    @property
    def _points(self) -> list[tuple[float, float]]:
        return list(zip(self.places, self.values, strict=True))


@dataclass(frozen=True)
class Stop:
    """A trial is to be stopped.

    Attributes:
        predicted: A last measurement that CONVEX adds; None otherwise.
    """

    predicted: Measurement | None = None


def early_stop(rule: StoppingRule, metric: Metric, trial: Trial, trials: Sequence[Trial]) -> Stop | None:
    """Whether a running trial is to be stopped; None: it goes on.

    A trial that reports no steps has no curve over steps: nothing is decided about it.

    Args:
        rule: Of the study.
        metric: Its only one.
        trial: The running trial.
        trials: All trials of the study.
    """
    curve = curve_of(trial, metric, rule.by_seconds)
    if curve is None:
        return None
    completed = [
        (other, found)
        for other in trials
        if other.state == SUCCEEDED and (found := curve_of(other, metric, rule.by_seconds)) is not None
    ]
    if rule.kind == MEDIAN:
        return Stop() if _is_below_median(curve, [found for _, found in completed]) else None
    if rule.kind == CONVEX:
        return _convex(rule, metric, trial, curve, completed)
    best = max((_objective(other, metric) for other, _ in completed), default=-math.inf)
    # Curves that were cut short do not show where such a curve ends.
    whole = [(found, _objective(other, metric)) for other, found in completed if not other.stopped]
    return Stop() if _has_no_chance(curve, whole, best) else None


def curve_of(trial: Trial, metric: Metric, by_seconds: bool) -> Curve | None:
    """A trial's curve; None when it has none."""
    sign = 1.0 if metric.maximize else -1.0
    points = {
        each.at(by_seconds): sign * each.metrics[metric.id]
        for each in trial.measurements
        if metric.id in each.metrics and each.at(by_seconds) > 0
    }
    if not points:
        return None
    places = sorted(points)  # a trial that ran again after a loss may be at an earlier step later
    return Curve(tuple(places), tuple(points[place] for place in places))


def _objective(trial: Trial, metric: Metric) -> float:
    """The final objective of a trial that SUCCEEDED, larger is better."""
    value = trial.final.metrics[metric.id] if trial.final else -math.inf
    return value if metric.maximize else -value


def _is_below_median(curve: Curve, completed: Sequence[Curve]) -> bool:
    """Whether the best value is strictly below the median of the others' running averages up to there."""
    end = curve.places[-1]
    averages = [
        statistics.fmean(values)
        for other in completed
        if (values := [y for x, y in zip(other.places, other.values, strict=True) if x <= end])
    ]
    return bool(averages) and max(curve.values) < statistics.median(averages)


def _has_no_chance(curve: Curve, completed: Sequence[tuple[Curve, float]], best: float) -> bool:
    """Whether the probability that the trial comes to more than the best value found is low: here, below 5 %.

    A Gaussian process is fitted to the completed curves that go on beyond this one: from their values at
    three places up to where it is now, to how much they gained from there to their final objectives.
    """
    now = curve.places[-1]
    longer = [pair for pair in completed if pair[0].places[-1] > now and pair[0].places[0] <= now]
    if len(longer) < _FEWEST_CURVES:
        return False
    from trainwright.local.training.tuning.gaussian_process import GaussianProcess

    places = [now * (part + 1) / _CURVE_POINTS for part in range(_CURVE_POINTS)]
    known = [[other.at(place) for place in places] for other, _ in longer]
    asked = [curve.at(place) for place in places]
    low = [min(row[column] for row in [*known, asked]) for column in range(_CURVE_POINTS)]
    high = [max(row[column] for row in [*known, asked]) for column in range(_CURVE_POINTS)]

    def scaled(row: Sequence[float]) -> list[float]:
        return [
            (value - least) / (most - least) if most > least else 0.5
            for value, least, most in zip(row, low, high, strict=True)
        ]

    gains = [final - other.at(now) for other, final in longer]
    process = GaussianProcess([scaled(row) for row in known], gains)
    mean, deviation = process.predict([scaled(asked)])
    missing = best - (curve.at(now) + float(mean[0]))
    return 0.5 * math.erfc(missing / (max(float(deviation[0]), 1e-12) * math.sqrt(2.0))) < _LOW_PROBABILITY


def _convex(
    rule: StoppingRule, metric: Metric, trial: Trial, curve: Curve, completed: Sequence[tuple[Trial, Curve]]
) -> Stop | None:
    """Stops a trial whose curve, going on as steeply as in its later half, would not reach the best one.

    A curve that is concave (its gains shrink) stays below that line: the line overestimates it.
    """
    if len(completed) <= rule.min_measurement_count or len(curve.places) < rule.min_measurement_count:
        return None
    end = float(rule.max_step_count or max(found.places[-1] for _, found in completed))
    least = rule.min_step_count if rule.min_step_count is not None else end / 10
    now = curve.places[-1]
    if not least < now < end or max(curve.values) == min(curve.values):
        return None
    half = len(curve.places) // 2
    slope = max(0.0, _slope(curve.places[half:], curve.values[half:]))
    overestimate = max(max(curve.values), curve.values[-1] + slope * (end - now))
    if overestimate >= max(_objective(other, metric) for other, _ in completed):
        return None
    return Stop(predicted_final(rule, metric, trial, [other for other, _ in completed], end))


def predicted_final(
    rule: StoppingRule, metric: Metric, trial: Trial, completed: Sequence[Trial], end: float
) -> Measurement | None:
    """What a stopped trial would have come to, by an autoregression over the curves; None without a curve.

    At equal distances, each gain is a constant share of the one before. The share is a weighted
    least-squares fit to all whole curves and to this one; where the learning rate is known, curves of nearby
    rates weigh more (by exp(-d²/2), d being the difference of the logarithms).

    Args:
        rule: CONVEX.
        metric: The study's only one.
        trial: Stopped, or about to be.
        completed: Trials that SUCCEEDED.
        end: The step or second that is predicted.
    """
    curve = curve_of(trial, metric, rule.by_seconds)
    if curve is None:
        return None
    now = curve.places[-1]
    distance = max((now - curve.places[0]) / max(len(curve.places) - 1, 1), end / 1000)
    pairs: list[tuple[float, float, float]] = []
    own: list[float] = []
    for other in [*(each for each in completed if not each.stopped), trial]:
        if (found := curve_of(other, metric, rule.by_seconds)) is not None:
            weight = _weight(rule, trial, other)
            count = int((found.places[-1] - found.places[0]) / distance)
            values = [found.at(found.places[0] + number * distance) for number in range(count + 1)]
            own = [after - before for before, after in itertools.pairwise(values)]
            pairs += [(weight, gain, after) for gain, after in itertools.pairwise(own)]
    share = _share(pairs)
    gain = own[-1] if own else 0.0  # of this trial, the last one
    value = curve.values[-1]
    for _ in range(max(0, math.ceil((end - now) / distance))):
        gain *= share
        value += gain
    value = value if metric.maximize else -value
    seconds = trial.measurements[-1].seconds
    return Measurement(
        trial.measurements[-1].step if rule.by_seconds else int(end),
        end if rule.by_seconds else seconds,
        {metric.id: value},
    )


def _weight(rule: StoppingRule, trial: Trial, other: Trial) -> float:
    rates = [each.parameters.get(rule.learning_rate) for each in (trial, other)]
    left, right = (float(rate) if rate is not None else 0.0 for rate in rates)
    if left <= 0 or right <= 0:
        return 1.0
    return math.exp(-0.5 * math.log(left / right) ** 2)


def _share(pairs: Sequence[tuple[float, float, float]]) -> float:
    """The share of a gain that the next one has, by weighted pairs of them; within 0 and 1: curves settle."""
    squares = sum(weight * gain**2 for weight, gain, _ in pairs)
    if squares <= 0:
        return 0.0
    return min(1.0, max(0.0, sum(weight * gain * after for weight, gain, after in pairs) / squares))


def _slope(places: Sequence[float], values: Sequence[float]) -> float:
    """Of the least-squares line."""
    if len(places) < 2:
        return 0.0
    return statistics.linear_regression(places, values).slope


def study_is_over(
    stopping: StudyStopping, metrics: Sequence[Metric], trials: Sequence[Trial], *, began: float, now: float
) -> bool:
    """Whether a study gets no more trials by its StudyStoppingConfig; the first rule that applies decides.

    Args:
        stopping: Of the study.
        metrics: Of the study.
        trials: All of its trials, as suggested.
        began: Unix seconds, when the study was created.
        now: Unix seconds.
    """
    completed = sorted((each for each in trials if each.state == SUCCEEDED), key=lambda each: each.end or 0.0)
    if stopping.minimum_runtime and not stopping.minimum_runtime.has_passed(began, now):
        return False
    if stopping.min_num_trials is not None and len(completed) < stopping.min_num_trials:
        return False
    if stopping.maximum_runtime and stopping.maximum_runtime.has_passed(began, now):
        return True
    if stopping.max_num_trials is not None and len(trials) >= stopping.max_num_trials:
        return True
    best, since, at = -math.inf, 0, began
    for trial in completed:
        since += 1
        value = _objective(trial, metrics[0])
        if value > best:
            best, since, at = value, 0, trial.end or began
    if stopping.max_num_trials_no_progress is not None and since >= stopping.max_num_trials_no_progress:
        return True
    limit = stopping.max_duration_no_progress
    return limit is not None and bool(completed) and now - at >= limit
