"""Cron arithmetic: time zones, clocks that change, and what is refused."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.local.services.cron import Cron, CronError


def times(text, start, count):
    """The first times after a moment, in the time zone of the cron."""
    cron = Cron.parse(text)
    moment = datetime.fromisoformat(start).timestamp()
    found = []
    for _ in range(count):
        moment = cron.next_time(moment)
        found.append(datetime.fromtimestamp(moment, cron.zone).strftime("%m-%d %H:%M %z"))
    return found


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("30 2 * * *", "2026-11-23T02:30:00+00:00", ["11-24 02:30 +0000"]),
        ("30 2 * * *", "2026-11-23T02:29:59.999+00:00", ["11-23 02:30 +0000"]),
        ("TZ=America/New_York 0 0 1 * *", "2026-11-23T00:00:00+00:00", ["12-01 00:00 -0500"]),
        ("CRON_TZ=Asia/Kolkata 0 9 * * MON-FRI", "2026-11-20T12:00:00+00:00", ["11-23 09:00 +0530"]),
        ("@weekly", "2026-11-23T00:00:00+00:00", ["11-29 00:00 +0000"]),
        ("TZ=Europe/Berlin @daily", "2026-11-23T00:00:00+00:00", ["11-24 00:00 +0100"]),
        # Spring, 02:00 becomes 03:00 on March 29: what lies in the gap comes right after it, and once.
        (
            "TZ=Europe/Berlin 30 2 * * *",
            "2026-03-28T00:00:00+00:00",
            ["03-28 02:30 +0100", "03-29 03:00 +0200", "03-30 02:30 +0200"],
        ),
        (
            "TZ=Europe/Berlin */30 2 * * *",
            "2026-03-28T02:00:00+00:00",
            ["03-30 02:00 +0200", "03-30 02:30 +0200"],
        ),
        (
            "TZ=Europe/Berlin 15 * * * *",
            "2026-03-29T00:00:00+00:00",
            ["03-29 01:15 +0100", "03-29 03:15 +0200"],
        ),
        # Autumn, 03:00 becomes 02:00 on October 25: a time of day comes once, an interval in both hours.
        (
            "TZ=Europe/Berlin 30 2 * * *",
            "2026-10-24T22:00:00+00:00",
            ["10-25 02:30 +0200", "10-26 02:30 +0100"],
        ),
        ("TZ=Europe/Berlin 30 2 * * *", "2026-10-25T01:10:00+00:00", ["10-26 02:30 +0100"]),
        (
            "TZ=Europe/Berlin */30 * * * *",
            "2026-10-25T00:00:00+00:00",
            ["10-25 02:30 +0200", "10-25 02:00 +0100", "10-25 02:30 +0100", "10-25 03:00 +0100"],
        ),
        ("0 0 29 2 *", "2026-11-23T00:00:00+00:00", ["02-29 00:00 +0000"]),
        ("0 12 13 * 5", "2026-11-11T00:00:00+00:00", ["11-13 12:00 +0000", "11-20 12:00 +0000"]),
    ],
)
def test_next_times(text, start, expected):
    assert times(text, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("0 * * * * *", "6 fields"),
        ("60 * * * *", "bad minute"),
        ("* 24 * * *", "bad hour"),
        ("*/0 * * * *", "bad minute"),
        ("5-1 * * * *", "bad minute"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("0 0 L * *", "'L'"),
        ("0 0 * * 5#2", "'5#2'"),
        ("@reboot", "1 fields"),
        ("TZ=Europe/Bielefeld 0 0 * * *", "'Europe/Bielefeld'"),
        ("TZ=../../etc/passwd 0 0 * * *", "time zone"),
        ("TZ= 0 0 * * *", "time zone ''"),
    ],
)
def test_what_is_no_cron_is_refused(text, reason):
    with pytest.raises(CronError) as refused:
        Cron.parse(text)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
moments = st.integers(min_value=1_700_000_000, max_value=1_900_000_000)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(
        ["30 2 * * *", "*/15 * * * *", "0 */6 * * *", "59 1,2,3 * * SUN", "0 0 1 * *", "5 4 * * 1"]
    ),
    st.sampled_from(ZONES),
    moments,
    moments,
)
def test_times_come_in_order_and_none_is_left_out(fields, zone, one, other):
    cron = Cron.parse(f"TZ={zone} {fields}")
    earlier, later = min(one, other), max(one, other)
    first = cron.next_time(earlier)
    assert first > earlier
    assert first <= cron.next_time(later)
    assert cron.next_time(first - 0.001) == first
    assert cron.next_time((earlier + first) / 2) == first


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 59),
    st.integers(0, 23),
    st.sets(st.integers(0, 6), min_size=1),
    st.sampled_from(ZONES),
    moments,
)
def test_a_time_of_day_is_the_next_one_that_the_calendar_has(minute, hour, days, zone, after):
    """Against the calendar, minute by minute, where no clock changes."""
    local = ZoneInfo(zone)
    cron = Cron.parse(f"TZ={zone} {minute} {hour} * * {','.join(map(str, sorted(days)))}")
    day = datetime.fromtimestamp(after, local).date()
    offsets = {
        datetime.combine(day + timedelta(days=number), datetime.min.time(), local).utcoffset()
        for number in range(-1, 10)
    }
    if len(offsets) > 1:
        return
    candidates = (
        datetime.combine(day + timedelta(days=number), datetime.min.time(), local).replace(
            hour=hour, minute=minute
        )
        for number in range(9)
    )
    expected = next(
        moment for moment in candidates if moment.timestamp() > after and moment.isoweekday() % 7 in days
    )
    assert datetime.fromtimestamp(cron.next_time(after), UTC) == expected.astimezone(UTC)
