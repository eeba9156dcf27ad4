"""Schedules: creation, masks, pause and resume, lists, deletion."""

import pytest

SERVICE = "ScheduleService"


@pytest.fixture
def schedule(parent, pipeline_job, unique):
    """The request of a schedule that never fires while the test runs."""
    request = {"parent": parent, "pipeline_job": pipeline_job}
    return {
        "display_name": unique,
        "cron": "TZ=Europe/Berlin 0 3 1 1 *",
        "max_concurrent_run_count": 1,
        "create_pipeline_job_request": request,
    }


def test_a_schedule_lives(call, parent, schedule, unique):
    made = call(SERVICE, "create_schedule", parent=parent, schedule=schedule)
    assert made.state.name == "ACTIVE" and made.next_run_time > made.create_time
    found = call(SERVICE, "list_schedules", parent=parent, filter=f'display_name="{unique}" AND state=ACTIVE')
    assert [each.name for each in found.schedules] == [made.name]
    call(SERVICE, "pause_schedule", name=made.name)
    assert call(SERVICE, "get_schedule", name=made.name).state.name == "PAUSED"
    change = {"name": made.name, "cron": "0 4 1 1 *", "max_concurrent_run_count": 7}
    changed = call(SERVICE, "update_schedule", schedule=change, update_mask={"paths": ["cron"]})
    assert (changed.cron, changed.max_concurrent_run_count) == ("0 4 1 1 *", 1)
    with call.refuses("INVALID_ARGUMENT"):
        call(SERVICE, "update_schedule", schedule=change, update_mask={"paths": ["bogus"]})
    call(SERVICE, "resume_schedule", name=made.name, catch_up=False)
    assert call(SERVICE, "get_schedule", name=made.name).state.name == "ACTIVE"
    call.result(call(SERVICE, "delete_schedule", name=made.name))
    for method in ("get_schedule", "pause_schedule", "resume_schedule", "delete_schedule"):
        with call.refuses("NOT_FOUND"):
            call(SERVICE, method, name=made.name)


@pytest.mark.parametrize(
    "change",
    [
        {"cron": "61 * * * *"},
        {"max_concurrent_run_count": 0},
        {"display_name": ""},
        {"cron": "TZ=Mars/Base 0 3 * * *"},
    ],
    ids=("cron", "count", "name", "zone"),
)
def test_what_is_not_valid_is_refused(call, parent, schedule, change):
    with call.refuses("INVALID_ARGUMENT"):
        call(SERVICE, "create_schedule", parent=parent, schedule=schedule | change)
