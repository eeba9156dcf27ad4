"""What a schedule does at a moment: tables, and Hypothesis against a model that lists every time."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.local.services.cron import Cron
from trainwright.local.services.scheduling import (
    GRACE,
    Progress,
    Rules,
    beginning,
    decide,
    is_completed,
    next_run_time,
    refused,
    resumed,
    started,
)

HOUR = 3600.0
HOURLY = Cron.parse("0 * * * *")


def rules(**fields):
    return Rules(cron=HOURLY, **fields)


def hours(*numbers):
    return tuple(number * HOUR for number in numbers)


@pytest.mark.parametrize(
    ("asked", "progress", "now", "active", "start", "waiting"),
    [
        # Nothing is due; something is; something was, a moment ago.
        (rules(), Progress(0.5 * HOUR), HOUR - 1, 0, (), ()),
        (rules(), Progress(0.5 * HOUR), HOUR, 0, hours(1), hours(1)),
        (rules(), Progress(0.5 * HOUR), HOUR + GRACE - 1, 0, hours(1), hours(1)),
        # Nobody was there: missed, or caught up; room for one start at a time.
        (rules(), Progress(0.5 * HOUR), 3 * HOUR + GRACE, 0, (), ()),
        (rules(), Progress(0.5 * HOUR), 3 * HOUR, 0, hours(3), hours(3)),
        (rules(catch_up=True), Progress(0.5 * HOUR), 3.5 * HOUR, 0, hours(1), hours(1, 2, 3)),
        (
            rules(catch_up=True, max_concurrent_run_count=2),
            Progress(0.5 * HOUR),
            3.5 * HOUR,
            9,
            hours(1, 2),
            hours(1, 2, 3),
        ),
        # As many runs as may be active are: skipped, or queued.
        (rules(max_concurrent_active_run_count=2), Progress(0.5 * HOUR), HOUR, 2, (), ()),
        (rules(max_concurrent_active_run_count=2), Progress(0.5 * HOUR), HOUR, 1, hours(1), hours(1)),
        (
            rules(max_concurrent_active_run_count=2, allow_queueing=True),
            Progress(0.5 * HOUR),
            HOUR,
            2,
            (),
            hours(1),
        ),
        # What waits goes first, even after a gap that was missed; the new one is skipped or waits.
        (
            rules(),
            Progress(2.5 * HOUR, ((0.5 * HOUR, 1.5 * HOUR),)),
            5 * HOUR,
            0,
            hours(1),
            hours(1),
        ),
        (
            rules(allow_queueing=True),
            Progress(2.5 * HOUR, ((0.5 * HOUR, 1.5 * HOUR),)),
            5 * HOUR,
            0,
            hours(1),
            hours(1, 5),
        ),
        # Both ends count; what waits at the end still starts.
        (rules(end_time=HOUR), Progress(0.5 * HOUR), HOUR + 1, 0, hours(1), hours(1)),
        (rules(end_time=HOUR - 1), Progress(0.5 * HOUR), HOUR, 0, (), ()),
        (
            rules(end_time=HOUR),
            Progress(HOUR, ((0.5 * HOUR, HOUR),)),
            9 * HOUR,
            0,
            hours(1),
            hours(1),
        ),
        # No more than the last run that is allowed.
        (
            rules(max_run_count=3, max_concurrent_run_count=5, catch_up=True),
            Progress(0.5 * HOUR, (), 2),
            5.5 * HOUR,
            0,
            hours(1),
            hours(1, 2, 3, 4, 5),
        ),
    ],
)
def test_decisions(asked, progress, now, active, start, waiting):
    decision = decide(asked, progress, now, active)
    assert decision.start == start
    assert listed(asked, decision.progress) == list(waiting)
    again = decide(asked, decision.progress, now, active)
    assert (again.start, again.progress) == (start, decision.progress)  # a killed process decides the same


@pytest.mark.parametrize(
    ("asked", "progress", "now", "look_again"),
    [
        (rules(), Progress(0.5 * HOUR), 0.6 * HOUR, HOUR),
        (rules(), Progress(0.5 * HOUR), HOUR, HOUR),  # at once: something starts
        (rules(end_time=1.5 * HOUR), Progress(HOUR), 1.2 * HOUR, 1.5 * HOUR),
        (rules(max_concurrent_run_count=1, end_time=2.5 * HOUR), Progress(2 * HOUR), 3 * HOUR, None),
        (
            rules(end_time=HOUR, max_concurrent_active_run_count=1),
            Progress(HOUR, ((0, HOUR),)),
            2 * HOUR,
            None,
        ),  # when a run ends
    ],
)
def test_when_to_look_again(asked, progress, now, look_again):
    assert decide(asked, progress, now, active_run_count=1).look_again == look_again


@pytest.mark.parametrize(
    ("asked", "progress", "now", "completed", "due"),
    [
        (rules(), Progress(0.5 * HOUR), 0.6 * HOUR, False, HOUR),
        (rules(), Progress(5 * HOUR, ((0.5 * HOUR, HOUR),)), 5 * HOUR, False, HOUR),
        (rules(max_run_count=2), Progress(HOUR, (), 2), HOUR, True, 2 * HOUR),
        (rules(end_time=1.5 * HOUR), Progress(HOUR), 1.4 * HOUR, False, None),
        (rules(end_time=1.5 * HOUR), Progress(HOUR), 1.5 * HOUR, True, None),
        (rules(end_time=1.5 * HOUR), Progress(HOUR, ((0.5 * HOUR, HOUR),)), 9 * HOUR, False, HOUR),
    ],
)
def test_completion_and_next_run(asked, progress, now, completed, due):
    assert is_completed(asked, progress, now) is completed
    assert next_run_time(asked, progress) == due


def test_a_start_time_in_the_future_counts_and_one_in_the_past_changes_nothing():
    assert next_run_time(rules(), beginning(0.5 * HOUR, 7 * HOUR)) == 7 * HOUR
    assert next_run_time(rules(), beginning(0.5 * HOUR, 7 * HOUR + 1)) == 8 * HOUR
    assert next_run_time(rules(), beginning(5.5 * HOUR, 2 * HOUR)) == 6 * HOUR


def test_a_year_of_minutes_that_is_caught_up_takes_no_room():
    every_minute = Rules(cron=Cron.parse("* * * * *"), catch_up=True)
    progress = resumed(every_minute, Progress(0.0), 365 * 24 * HOUR)
    assert progress.waiting == ((0.0, 365 * 24 * HOUR),)
    decision = decide(every_minute, progress, 365 * 24 * HOUR, 0)
    assert decision.start == (60.0,)
    assert next_run_time(every_minute, started(every_minute, decision.progress, 60.0)) == 120.0


def listed(asked, progress):
    """Every time that waits."""
    times = []
    for after, until in progress.waiting:
        time = asked.cron.next_time(after)
        while time is not None and time <= until:
            times.append(time)
            time = asked.cron.next_time(time)
    return times


@dataclass
class Model:
    """The same schedule, simply: a list of the times that wait, and a walk over every minute."""

    asked: Rules
    seen: float
    waiting: list = field(default_factory=list)
    count: int = 0

    def times(self, after, until):
        first = int(after // HOUR) + 1
        limit = until if self.asked.end_time is None else min(until, self.asked.end_time)
        return [number * HOUR for number in range(first, int(until // HOUR) + 1) if number * HOUR <= limit]

    def look(self, now, active):
        limits = [self.asked.max_concurrent_run_count]
        if self.asked.max_concurrent_active_run_count is not None:
            limits.append(self.asked.max_concurrent_active_run_count - active)
        if self.asked.max_run_count is not None:
            limits.append(self.asked.max_run_count - self.count)
        room = max(0, min(limits))
        for time in self.times(self.seen, now):
            is_missed = time <= now - GRACE
            if self.asked.catch_up if is_missed else (self.asked.allow_queueing or len(self.waiting) < room):
                self.waiting.append(time)
        self.seen = max(self.seen, now)
        return tuple(self.waiting[:room])


limit = st.none() | st.integers(1, 3)
steps = st.lists(
    st.tuples(st.sampled_from(["wait", "wait", "end a run", "pause", "refuse"]), st.integers(1, 400)),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(
    st.builds(
        Rules,
        cron=st.just(HOURLY),
        end_time=st.none() | st.integers(1, 60).map(lambda quarters: quarters * HOUR / 4),
        max_run_count=limit,
        max_concurrent_run_count=st.integers(1, 3),
        max_concurrent_active_run_count=limit,
        allow_queueing=st.booleans(),
        catch_up=st.booleans(),
    ),
    steps,
)
def test_it_does_what_the_model_does(asked, moves):
    now, active, progress, model = 10.0, 0, Progress(10.0), Model(asked, 10.0)
    begun = []
    for move, minutes in moves:
        if move == "wait":
            now += minutes * 30.0
        elif move == "end a run":
            active = max(0, active - 1)
        elif move == "pause":
            now += minutes * 60.0
            if asked.catch_up:
                progress = resumed(asked, progress, now)
                model.waiting += model.times(model.seen, now)
            else:
                progress = beginning(now, None, progress.started_run_count)
                model.waiting = []
            model.seen = now
        if is_completed(asked, progress, now):
            break
        decision = decide(asked, progress, now, active)
        expected = model.look(now, active)
        if is_completed(asked, decision.progress, now):
            break
        assert decision.start == expected
        progress = decision.progress
        assert listed(asked, progress) == model.waiting
        for time in decision.start:
            progress = (refused if move == "refuse" else started)(asked, progress, time)
            model.waiting.remove(time)
            if move != "refuse":
                model.count, active = model.count + 1, active + 1
                begun.append(time)
        assert progress.started_run_count == model.count
    assert begun == sorted(set(begun)), "each time once, in order"
    assert all(time <= now and (asked.end_time is None or time <= asked.end_time) for time in begun)
    assert asked.max_run_count is None or len(begun) <= asked.max_run_count
