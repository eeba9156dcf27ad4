"""Schedules as Google's unmodified clients use them, on a clock that takes half a second for a minute."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from trainwright.local.server import LocalVertex

from .test_schedules import importing

SPEED = 120.0


class FastClock:
    """A clock that runs ahead."""

    def __init__(self) -> None:
        self.start = time.time()

    def now(self) -> float:
        return self.start + (time.time() - self.start) * SPEED

    def wait(self, woken: threading.Event, until: float | None) -> None:
        woken.wait(None if until is None else max(0.0, until - self.now()) / SPEED)


PROGRAM = """
import json, sys, time
from google.api_core import exceptions
from google.cloud import aiplatform
from google.cloud import aiplatform_v1 as v1

def show(**values):
    print("= " + json.dumps(values))

def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "never"
        time.sleep(0.05)

def minutes(schedule):
    stamps = sorted(job.name.rpartition("-")[2] for job in schedule.list_jobs())
    return [int(time.mktime(time.strptime(stamp, "%Y%m%d%H%M%S"))) // 60 for stamp in stamps]

aiplatform.init(project="any-project", location="us-central1")
job = aiplatform.PipelineJob(
    display_name="A job",
    template_path=sys.argv[1],
    pipeline_root="gs://trainwright-local/o",
    labels={"team": "a"},
)
client = aiplatform.gapic.ScheduleServiceClient(
    client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"}
)

# A schedule from a job, to its end.
schedule = job.create_schedule(
    cron="TZ=Europe/Berlin * * * * *",
    display_name="every minute",
    max_run_count=2,
    max_concurrent_active_run_count=2,
    allow_queueing=True,
)
until(lambda: schedule.state.name == "COMPLETED")
until(lambda: all(job.state.name == "PIPELINE_STATE_SUCCEEDED" for job in schedule.list_jobs()))
jobs = schedule.list_jobs()
found = aiplatform.PipelineJobSchedule.list(filter='display_name="every minute"')
show(
    runs=len(set(minutes(schedule))),
    labels=jobs[0].labels,
    made_by=[
        aiplatform.PipelineJob.get(job.resource_name).gca_resource.schedule_name == schedule.resource_name
        for job in jobs
    ],
    found=[each.resource_name == schedule.resource_name for each in found],
    limits=[schedule.max_run_count, schedule.max_concurrent_active_run_count, schedule.allow_queueing],
)
try:
    schedule.pause()
except exceptions.FailedPrecondition as error:
    show(refused=error.message)

# Another one: created, paused, updated, resumed with and without what was missed, deleted.
other = aiplatform.PipelineJobSchedule(pipeline_job=job, display_name="other")
other.create(cron="CRON_TZ=America/New_York 0 * * * *", max_concurrent_run_count=3)
other = aiplatform.PipelineJobSchedule.get(schedule_id=other.resource_name)
other.pause()
paused = other.state.name
other.update(display_name="renamed", cron="*/2 * * * *", max_run_count=1000)
time.sleep(2.2)  # more than four minutes: two runs are missed
before = client.get_schedule(name=other.resource_name).started_run_count
client.resume_schedule(name=other.resource_name, catch_up=True)
until(lambda: client.get_schedule(name=other.resource_name).started_run_count >= 3)
other.pause()
caught_up = minutes(other)
time.sleep(2.2)
other.resume(catch_up=True)  # the SDK drops the argument: nothing is caught up
until(lambda: len(minutes(other)) > len(caught_up))
after = v1.ScheduleServiceClient(transport="rest").get_schedule(name=other.resource_name)
show(
    paused=[paused, before],
    updated=[other.display_name, other.cron],
    steps=sorted({later - earlier for earlier, later in zip(caught_up, caught_up[1:])}),
    was_left_out=minutes(other)[len(caught_up)] - caught_up[-1] > 2,
    catch_up=after.catch_up,
    response=after.last_scheduled_run_response.run_response,
)
other.delete()
try:
    client.get_schedule(name=other.resource_name)
except exceptions.NotFound as error:
    show(gone=error.message)
try:
    job.create_schedule(cron="61 * * * *", display_name="wrong")
except exceptions.InvalidArgument as error:
    show(wrong=error.message)
left = client.list_schedules(parent=client.common_location_path("any-project", "us-central1"))
show(left=[each.display_name for each in left])
"""


@pytest.fixture(scope="module")
def vertex(tmp_path_factory):
    with LocalVertex(tmp_path_factory.mktemp("vertex") / "state", clock=FastClock()) as vertex:
        yield vertex


def test_the_sdk_creates_pauses_updates_resumes_lists_and_deletes_schedules(vertex, tmp_path):
    template = tmp_path / "pipeline.json"
    template.write_text(json.dumps(importing()))
    base = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(template)],
        env=base | {"TZ": "UTC"} | vertex.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = [json.loads(line[2:]) for line in done.stdout.splitlines() if line.startswith("= ")]
    completed, refused, other, gone, wrong, left = shown
    assert completed == {
        "runs": 2,
        "labels": {"team": "a"},
        "made_by": [True, True],
        "found": [True],
        "limits": [2, 2, True],
    }
    assert "COMPLETED" in refused["refused"]
    assert other == {
        "paused": ["PAUSED", 0],
        "updated": ["renamed", "*/2 * * * *"],
        "steps": [2],
        "was_left_out": True,
        "catch_up": False,
        "response": "OK",
    }
    assert "was not found" in gone["gone"]
    assert wrong["wrong"] == "schedule.cron '61 * * * *': bad minute"
    assert left == {"left": ["every minute"]}
