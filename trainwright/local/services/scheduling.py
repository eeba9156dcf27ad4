"""What a schedule does at a moment: pure functions of its rules, its progress, the clock and its runs.

The meaning of the fields is that of the reference of `Schedule` and ScheduleService
(google.cloud.aiplatform.v1 in google-cloud-aiplatform 1.165.1) and of "Schedule a pipeline run with scheduler
API" (Vertex AI documentation, 2026-08-22). Where they are silent:

* A time counts as met when its run starts within a minute, cron's own resolution. A time that was missed by
  more, because nothing served the schedule, is caught up only if its `catch_up` is set, as after a pause.
* Runs start in the order of their times: those that wait or are caught up, then new ones. A new time that
  comes while the former take all the room waits if queueing is allowed, and is skipped if not.
* `end_time` bounds the times that count. What waits when it comes still starts, since "already scheduled runs
  will be allowed to complete"; then the schedule is COMPLETED.
* A run scheduled exactly at `start_time` or `end_time` counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from trainwright.local.services.cron import Cron

GRACE = 60.0


@dataclass(frozen=True)
class Rules:
    """What the user asked for.

    Attributes:
        cron: The times.
        end_time: Unix seconds after which no time counts; None: for ever.
        max_run_count: The schedule is completed when so many runs were started; None: no limit.
        max_concurrent_run_count: How many runs may be about to start at once.
        max_concurrent_active_run_count: How many runs may be in a state that is not final; None: no limit.
        allow_queueing: Whether a run that a limit holds back waits; else it is skipped.
        catch_up: Whether times that nobody served are made up for.
    """

    cron: Cron
    end_time: float | None = None
    max_run_count: int | None = None
    max_concurrent_run_count: int = 1
    max_concurrent_active_run_count: int | None = None
    allow_queueing: bool = False
    catch_up: bool = False

    def next_time(self, after: float) -> float | None:
        """The first time after a moment that counts."""
        found = self.cron.next_time(after)
        return None if found is None or (self.end_time is not None and found > self.end_time) else found


@dataclass(frozen=True)
class Progress:
    """How far a schedule has come.

    Attributes:
        seen_until: Unix seconds; every time up to here was started, skipped, or waits.
        waiting: Intervals (after, until], in order, each with at least one time of the cron: these times were
            accepted and their runs were not started yet. Intervals, since a year of minutes may be caught up.
        started_run_count: Runs that were started.
    """

    seen_until: float
    waiting: tuple[tuple[float, float], ...] = ()
    started_run_count: int = 0


@dataclass(frozen=True)
class Decision:
    """What to do.

    Attributes:
        progress: Where the schedule stands; what is to start is among what waits.
        start: Times whose runs are to be started now, in order.
        look_again: When to decide again, if no run ends before; None: only when something changes.
    """

    progress: Progress
    start: tuple[float, ...]
    look_again: float | None


def beginning(now: float, start_time: float | None, started_run_count: int = 0) -> Progress:
    """The progress of a schedule that is created, updated, or resumed without catching up at a moment."""
    if start_time is None or start_time <= now:
        return Progress(now, (), started_run_count)
    is_a_minute = start_time % 60 == 0  # then a time of the cron may fall on it, and counts
    return Progress(start_time - 1 if is_a_minute else start_time, (), started_run_count)


def resumed(rules: Rules, progress: Progress, now: float) -> Progress:
    """The progress after a pause whose times are to be caught up, with what waited before."""
    return replace(_accepted(rules, progress, now), seen_until=max(progress.seen_until, now))


def decide(rules: Rules, progress: Progress, now: float, active_run_count: int) -> Decision:
    """What an ACTIVE schedule does now.

    Args:
        rules: What the user asked for.
        progress: How far it has come.
        now: Unix seconds.
        active_run_count: How many of its runs are in a state that is not final.
    """
    room = _room(rules, progress.started_run_count, active_run_count)
    progress = _looked(rules, progress, now, room)
    if is_completed(rules, progress, now):
        return Decision(replace(progress, waiting=()), (), None)
    start = tuple(islice(_waiting_times(rules, progress), room))
    look_again = now if start else rules.next_time(progress.seen_until)
    if look_again is None and rules.end_time is not None and now < rules.end_time:
        look_again = rules.end_time
    return Decision(progress, start, look_again)


def is_completed(rules: Rules, progress: Progress, now: float) -> bool:
    """Whether an ACTIVE schedule will never start a run again."""
    if rules.max_run_count is not None and progress.started_run_count >= rules.max_run_count:
        return True
    is_over = rules.end_time is not None and now >= rules.end_time
    return is_over and next_run_time(rules, progress) is None


def next_run_time(rules: Rules, progress: Progress) -> float | None:
    """When the next run is due; in the past when runs are behind schedule; None when there is none."""
    return next(_waiting_times(rules, progress), rules.next_time(progress.seen_until))


def started(rules: Rules, progress: Progress, time: float) -> Progress:
    """The progress when the run of the first time that waits was started."""
    return replace(refused(rules, progress, time), started_run_count=progress.started_run_count + 1)


def refused(rules: Rules, progress: Progress, time: float) -> Progress:
    """The progress when the run of the first time that waits could not be created and never can."""
    (_, until), *others = progress.waiting
    following = rules.cron.next_time(time)
    left = [(time, until)] if following is not None and following <= until else []
    return replace(progress, waiting=(*left, *others))


def _room(rules: Rules, started_run_count: int, active_run_count: int) -> int:
    limits = [rules.max_concurrent_run_count]
    if rules.max_concurrent_active_run_count is not None:
        limits.append(rules.max_concurrent_active_run_count - active_run_count)
    if rules.max_run_count is not None:
        limits.append(rules.max_run_count - started_run_count)
    return max(0, min(limits))


def _looked(rules: Rules, progress: Progress, now: float, room: int) -> Progress:
    """Decides about every time that has come since the last look: it waits, or it is skipped."""
    missed_until = now - GRACE
    due = rules.next_time(progress.seen_until)
    if due is not None and due <= missed_until:
        if rules.catch_up:
            progress = _accepted(rules, progress, missed_until)
        progress = replace(progress, seen_until=missed_until)
        due = rules.next_time(missed_until)
    while due is not None and due <= now:
        ahead = len(list(islice(_waiting_times(rules, progress), room)))
        if ahead < room or rules.allow_queueing:
            progress = _accepted(rules, progress, due)
        progress = replace(progress, seen_until=due)
        due = rules.next_time(due)
    return progress


def _accepted(rules: Rules, progress: Progress, until: float) -> Progress:
    """Lets every time after the last one that was seen wait."""
    until = until if rules.end_time is None else min(until, rules.end_time)
    due = rules.next_time(progress.seen_until)
    if due is None or due > until:
        return progress
    waiting = progress.waiting
    after = progress.seen_until
    if waiting and waiting[-1][1] == after:
        after = waiting[-1][0]
        waiting = waiting[:-1]
    return replace(progress, waiting=(*waiting, (after, until)), seen_until=until)


def _waiting_times(rules: Rules, progress: Progress) -> Iterator[float]:
    for after, until in progress.waiting:
        time = rules.cron.next_time(after)
        while time is not None and time <= until:
            yield time
            time = rules.cron.next_time(time)
