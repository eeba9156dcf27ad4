"""From what cloudml-hypertune writes to measurements, and from those to the one that counts.

cloudml-hypertune 0.1.0.dev6 (hypertune/hypertune.py) rewrites its file at each report: one JSON object a
line, the last 100 reports, `{"timestamp": 1700000000.1, "trial": "3", "METRIC_ID": "0.91",
"global_step": "12", "checkpoint_path": ""}`. A reader may find it half-written.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainwright.local.training.tuning.trials import Measurement

_NO_METRICS = {"timestamp", "trial", "global_step", "checkpoint_path"}


@dataclass(frozen=True)
class Report:
    """One metric that a trial reported.

    Attributes:
        metric: Its tag.
        value: May be no finite number.
        step: 0 when the trial named none.
        time: Unix seconds.
    """

    metric: str
    value: float
    step: int
    time: float


@dataclass(frozen=True)
class Metric:
    """A metric that a study optimizes.

    Attributes:
        id: Its metric_id.
        maximize: Whether larger is better.
    """

    id: str
    maximize: bool

    def better(self, value: float, other: float) -> bool:
        """Whether `value` is strictly better than `other`."""
        return value > other if self.maximize else value < other


def reports_of(text: str) -> list[Report]:
    """The reports in a metric file; lines that are not whole are left out, for they will be written again."""
    found = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            time, step = float(entry["timestamp"]), int(entry.get("global_step") or 0)
            values = {name: float(value) for name, value in entry.items() if name not in _NO_METRICS}
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        found += [Report(name, value, max(step, 0), time) for name, value in values.items()]
    return found


def merged(
    known: Sequence[Measurement], reports: Iterable[Report], *, metric_ids: Iterable[str], began: float
) -> tuple[Measurement, ...]:
    """The measurements of a trial, with those that it has reported since.

    Metrics reported at the same step make up one measurement. A trial that runs again after a loss reports
    steps for a second time: the later report counts.

    Args:
        known: From earlier readings of the file, which keeps the last reports only.
        reports: Of the file, oldest first.
        metric_ids: Those of the study; others, and values that are no finite numbers, are left out.
        began: Unix seconds, when the trial began to run.
    """
    wanted = set(metric_ids)
    with_step = {each.step: each for each in known if each.step}
    without = [each for each in known if not each.step]
    read = without[-1].seconds if without else -1.0  # reports come in order: up to here they are known
    for report in reports:
        seconds = max(0.0, report.time - began)
        if report.metric not in wanted or not math.isfinite(report.value):
            continue
        metrics = {report.metric: report.value}
        if report.step:
            before = with_step.get(report.step)
            if before is None or seconds >= before.seconds:
                together = {**before.metrics, **metrics} if before else metrics
                with_step[report.step] = Measurement(report.step, seconds, together)
        elif seconds > read:
            if without and not metrics.keys() & without[-1].metrics.keys():
                metrics = {**without.pop().metrics, **metrics}
            without.append(Measurement(0, seconds, metrics))
    return tuple(sorted([*with_step.values(), *without], key=lambda each: (each.step, each.seconds)))


def final_of(
    measurements: Sequence[Measurement], metrics: Sequence[Metric], *, best: bool
) -> Measurement | None:
    """The measurement that counts for a trial that has ended; None when it lacks one of the metrics.

    Args:
        measurements: Of the trial, in order.
        metrics: Of the study. The first decides which measurement is the best.
        best: BEST_MEASUREMENT, the earliest one when several are equal; otherwise LAST_MEASUREMENT.
    """
    complete = [each for each in measurements if all(metric.id in each.metrics for metric in metrics)]
    if not complete:
        return None
    if not best:
        return complete[-1]
    first = metrics[0]
    found = complete[0]
    for each in complete[1:]:
        if first.better(each.metrics[first.id], found.metrics[first.id]):
            found = each
    return found
