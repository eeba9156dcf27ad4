import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.local.training.tuning.measurements import Metric, Report, final_of, merged, reports_of
from trainwright.local.training.tuning.trials import Measurement


def line(value: str, step: int | None = None, time: float = 101.0, metric: str = "score") -> str:
    entry = {"timestamp": time, "trial": "1", metric: value, "checkpoint_path": ""}
    return json.dumps(entry | ({} if step is None else {"global_step": str(step)}))


def told(*lines: str, known: tuple[Measurement, ...] = (), ids: tuple[str, ...] = ("score",)) -> list[tuple]:
    measurements = merged(known, reports_of("\n".join(lines)), metric_ids=ids, began=100.0)
    return [(each.step, each.seconds, dict(each.metrics)) for each in measurements]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], []),
        ([line("0.5", 1), line("0.6", 2, 102.0)], [(1, 1.0, {"score": 0.5}), (2, 2.0, {"score": 0.6})]),
        ([line("0.5", 1), line("0.6", 2)[:-5]], [(1, 1.0, {"score": 0.5})]),  # half-written
        (["[1]", "{}", "7", line("x", 1), line("nan", 2), line("0.5", 1, metric="other")], []),
        # without steps, each report is a measurement
        ([line("0.5"), line("0.6", None, 102.0)], [(0, 1.0, {"score": 0.5}), (0, 2.0, {"score": 0.6})]),
        # a trial that runs again after a loss: the later report counts, the others stay
        (
            [line("0.5", 1), line("0.6", 2, 102.0), line("0.7", 1, 110.0)],
            [(1, 10.0, {"score": 0.7}), (2, 2.0, {"score": 0.6})],
        ),
    ],
)
def test_what_a_metric_file_tells(lines: list[str], found: list[tuple]) -> None:
    assert told(*lines) == found


def test_metrics_of_one_step_are_one_measurement() -> None:
    lines = [
        line("1", 5),
        line("2", 5, 101.5, "loss"),
        line("3"),
        line("4", 0, 102.0, "loss"),
        line("5", 0, 103),
    ]
    assert told(*lines, ids=("score", "loss")) == [
        (0, 2.0, {"score": 3.0, "loss": 4.0}),
        (0, 3.0, {"score": 5.0}),
        (5, 1.5, {"score": 1.0, "loss": 2.0}),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["a", "b"]), st.floats(-9, 9)), max_size=20),
    st.integers(0, 20),
    st.integers(1, 20),
)
def test_readings_of_a_file_that_keeps_the_last_reports_add_up(
    reported: list[tuple[int, str, float]], cut: int, kept: int
) -> None:
    """Reading early and again, of a file that has forgotten what was read, finds what one reading finds."""
    reports = [Report(name, value, step, 100.0 + n) for n, (step, name, value) in enumerate(reported)]
    ids = ("a", "b")
    whole = merged((), reports, metric_ids=ids, began=100.0)
    early = merged((), reports[:cut], metric_ids=ids, began=100.0)
    start = max(0, min(cut, len(reports) - kept))
    assert merged(early, reports[start:], metric_ids=ids, began=100.0) == whole
    assert merged(whole, reports, metric_ids=ids, began=100.0) == whole
    assert list(whole) == sorted(whole, key=lambda each: (each.step, each.seconds))


SCORE, LOSS = Metric("score", maximize=True), Metric("loss", maximize=False)


def measured(*values: float | None, metric: str = "score") -> list[Measurement]:
    return [
        Measurement(step + 1, step + 1.0, {} if value is None else {metric: value})
        for step, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("measurements", "metrics", "best", "step"),
    [
        (measured(1, 3, 2), [SCORE], False, 3),
        (measured(1, 3, 2), [SCORE], True, 2),
        (measured(1, 3, 3), [SCORE], True, 2),
        (measured(2, 1, 3, metric="loss"), [LOSS], True, 2),
        (measured(1, None), [SCORE], False, 1),
        (measured(), [SCORE], True, None),
        (measured(1, 2), [SCORE, LOSS], True, None),
    ],
)
def test_which_measurement_counts(
    measurements: list[Measurement], metrics: list[Metric], best: bool, step: int | None
) -> None:
    final = final_of(measurements, metrics, best=best)
    assert (final.step if final else None) == step
