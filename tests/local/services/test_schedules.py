"""Schedules through their service, with the real store and engine; only the clock is ours."""

import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.api_core.exceptions import (
    FailedPrecondition,
    InvalidArgument,
    MethodNotImplemented,
    NotFound,
)
from google.cloud import aiplatform_v1 as v1

from trainwright.local.services import Services
from trainwright.local.store import Store

PARENT = "projects/100000000001/locations/us-central1"
ARTIFACT = {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}
HOUR = 3600.0


def importing() -> dict:
    """A pipeline that notes its scheduled time as an artifact's URI, without a process."""
    constant = "gs://bucket/{{$.pipeline_job_schedule_time_utc_placeholder}}"
    return {
        "pipelineInfo": {"name": "note-the-time"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "root": {
            "dag": {
                "tasks": {
                    "note": {
                        "taskInfo": {"name": "note"},
                        "componentRef": {"name": "comp-note"},
                        "inputs": {"parameters": {"uri": {"runtimeValue": {"constant": constant}}}},
                    }
                }
            }
        },
        "components": {
            "comp-note": {
                "executorLabel": "exec-note",
                "inputDefinitions": {"parameters": {"uri": {"parameterType": "STRING"}}},
                "outputDefinitions": {"artifacts": {"artifact": {"artifactType": ARTIFACT}}},
            }
        },
        "deploymentSpec": {
            "executors": {
                "exec-note": {
                    "importer": {"artifactUri": {"runtimeParameter": "uri"}, "typeSchema": ARTIFACT}
                }
            }
        },
    }


def lasting(folder: Path) -> dict:
    """A pipeline that lasts until the folder has a file `end`, and takes it away."""
    script = f"while ! mv {folder}/end {folder}/ended; do sleep 0.05; done"
    container = {"image": "alpine", "command": ["sh", "-c", script]}
    return {
        "pipelineInfo": {"name": "lasting"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "root": {
            "dag": {"tasks": {"last": {"taskInfo": {"name": "last"}, "componentRef": {"name": "comp-last"}}}}
        },
        "components": {"comp-last": {"executorLabel": "exec-last"}},
        "deploymentSpec": {"executors": {"exec-last": {"container": container}}},
    }


class LeapingClock:
    """A clock on which nobody waits: the time that is waited for is there at once."""

    def __init__(self, start: float) -> None:
        self.time = start

    def now(self) -> float:
        return self.time

    def wait(self, woken: threading.Event, until: float | None) -> None:
        if until is None:
            woken.wait()
        elif not woken.is_set():
            self.time = max(self.time, until)


class HandClock:
    """A clock that a test turns."""

    def __init__(self, start: float) -> None:
        self.time = start

    def now(self) -> float:
        return self.time

    def wait(self, woken: threading.Event, until: float | None) -> None:
        while not woken.wait(0.005) and (until is None or self.time < until):
            pass


class Vertex:
    """The services over a state folder."""

    def __init__(self, state: Path, clock) -> None:
        self.clock = clock
        self.store = Store(state / "store.sqlite")
        self.services = Services(
            store=self.store,
            state=state,
            project="trainwright-local",
            project_number="100000000001",
            client_environment={},
            bucket="trainwright-local",
            clock=clock,
        )
        self.api = self.services.by_name["ScheduleService"]

    def close(self) -> None:
        self.services.close()
        self.store.close()

    def create(self, spec: dict | None = None, **fields) -> v1.Schedule:
        job = {"pipeline_spec": spec or importing(), "runtime_config": {"gcs_output_directory": "gs://b/o"}}
        given = {
            "display_name": "A schedule",
            "cron": "0 * * * *",
            "max_concurrent_run_count": 1,
            "create_pipeline_job_request": {"parent": PARENT, "pipeline_job": job},
        } | fields
        request = v1.CreateScheduleRequest(parent=PARENT, schedule=given)
        return self.api.create_schedule(request, None)

    def get(self, name: str) -> v1.Schedule:
        return self.api.get_schedule(v1.GetScheduleRequest(name=name), None)

    def pause(self, name: str):
        return self.api.pause_schedule(v1.PauseScheduleRequest(name=name), None)

    def resume(self, name: str, catch_up: bool = False):
        return self.api.resume_schedule(v1.ResumeScheduleRequest(name=name, catch_up=catch_up), None)

    def update(self, name: str, *paths: str, **fields) -> v1.Schedule:
        request = v1.UpdateScheduleRequest(
            schedule=v1.Schedule(name=name, **fields), update_mask={"paths": paths or list(fields)}
        )
        return self.api.update_schedule(request, None)

    def jobs(self, name: str) -> list[v1.PipelineJob]:
        """The jobs of a schedule, in the order of their creation."""
        request = v1.ListPipelineJobsRequest(
            parent=PARENT, filter=f"schedule_name={name}", page_size=1000, order_by="create_time"
        )
        return list(self.services.by_name["PipelineService"].list_pipeline_jobs(request, None).pipeline_jobs)

    def times(self, name: str) -> list[float]:
        """For which times there are jobs."""
        stamps = sorted(job.name.rpartition("-")[2] for job in self.jobs(name))
        return [datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp() for stamp in stamps]

    def until(self, name: str, condition) -> v1.Schedule:
        """The schedule, once something is true of it."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            schedule = self.get(name)
            if condition(schedule):
                return schedule
            time.sleep(0.01)
        raise AssertionError(f"never: {schedule}")


@pytest.fixture
def vertex(tmp_path):
    """Makes a local Vertex over the test's state folder; the one before is closed."""
    opened = []

    def make(clock) -> Vertex:
        for earlier in opened:
            earlier.close()
        opened[:] = [Vertex(tmp_path, clock)]
        return opened[0]

    yield make
    for last in opened:
        last.close()


def is_completed(schedule: v1.Schedule) -> bool:
    return schedule.state == v1.Schedule.State.COMPLETED


def due(schedule: v1.Schedule) -> float | None:
    return schedule.next_run_time.timestamp() if schedule.next_run_time else None


def test_a_year_of_sundays_with_both_changes_of_the_clock(vertex):
    local = vertex(LeapingClock(datetime(2026, 1, 1, tzinfo=UTC).timestamp()))
    schedule = local.create(
        cron="TZ=Europe/Berlin 30 2 * * SUN",
        start_time=datetime(2026, 1, 1, tzinfo=UTC),
        end_time=datetime(2027, 1, 1, tzinfo=UTC),
    )
    assert schedule.state == v1.Schedule.State.ACTIVE
    assert schedule.next_run_time.isoformat() == "2026-01-04T01:30:00+00:00"
    local.services.resume()
    done = local.until(schedule.name, is_completed)
    assert done.started_run_count == 52
    assert done.last_scheduled_run_response.run_response == "OK"
    assert done.last_scheduled_run_response.scheduled_run_time.isoformat() == "2026-12-27T01:30:00+00:00"
    assert not done.next_run_time
    local.until(schedule.name, lambda _: all(job.end_time for job in local.jobs(schedule.name)))
    noted = [
        job.job_detail.task_details[-1].outputs["artifact"].artifacts[0].uri
        for job in local.jobs(schedule.name)
    ]
    assert len(set(noted)) == 52
    assert "gs://bucket/2026-03-22T01:30:00Z" in noted
    assert "gs://bucket/2026-03-29T01:00:00Z" in noted  # 02:30 does not exist: 03:00 in summer time
    assert "gs://bucket/2026-10-18T00:30:00Z" in noted
    assert "gs://bucket/2026-10-25T00:30:00Z" in noted  # 02:30 comes twice: the first one
    assert "gs://bucket/2026-11-01T01:30:00Z" in noted


def test_a_limit_on_active_runs_queues_or_skips(vertex, tmp_path):
    clock = HandClock(0.0)
    local = vertex(clock)
    local.services.resume()
    name = local.create(lasting(tmp_path), max_concurrent_active_run_count=1, allow_queueing=True).name
    clock.time = HOUR
    assert due(local.until(name, lambda schedule: schedule.started_run_count == 1)) == 2 * HOUR
    clock.time = 2 * HOUR
    # Queued: the next run stays the one that is due, "runs are being started behind schedule".
    local.until(name, lambda schedule: local.store.read(f"{name}/progress").json()[1])
    assert due(local.get(name)) == 2 * HOUR
    (tmp_path / "end").touch()
    local.until(name, lambda schedule: schedule.started_run_count == 2)
    assert local.times(name) == [HOUR, 2 * HOUR]
    clock.time = 3 * HOUR
    local.until(name, lambda schedule: local.store.read(f"{name}/progress").json()[1])
    # An update drops what is queued; from now on there is no queue.
    assert due(local.update(name, allow_queueing=False)) == 4 * HOUR
    clock.time = 4 * HOUR
    local.until(name, lambda schedule: due(schedule) == 5 * HOUR)
    assert local.get(name).started_run_count == 2
    (tmp_path / "end").touch()
    local.until(name, lambda _: all(job.end_time for job in local.jobs(name)))
    clock.time = 5 * HOUR
    local.until(name, lambda schedule: schedule.started_run_count == 3)
    assert local.times(name) == [HOUR, 2 * HOUR, 5 * HOUR]
    (tmp_path / "end").touch()


def test_pause_and_resume_with_and_without_catching_up(vertex):
    clock = HandClock(0.0)
    local = vertex(clock)
    local.services.resume()
    name = local.create(max_run_count=5).name
    local.pause(name)
    local.pause(name)
    clock.time = 2.5 * HOUR
    paused = local.get(name)
    assert (paused.state.name, paused.last_pause_time.timestamp()) == ("PAUSED", 0.0)
    local.resume(name)
    resumed = local.get(name)
    assert (due(resumed), resumed.catch_up, resumed.last_resume_time.timestamp()) == (
        3 * HOUR,
        False,
        2.5 * HOUR,
    )
    with pytest.raises(FailedPrecondition, match="ACTIVE"):
        local.resume(name)
    clock.time = 3 * HOUR
    local.until(name, lambda schedule: schedule.started_run_count == 1)
    local.pause(name)
    clock.time = 5.5 * HOUR
    local.resume(name, catch_up=True)
    caught_up = local.until(name, lambda schedule: schedule.started_run_count == 3)
    assert caught_up.catch_up
    assert local.times(name) == [3 * HOUR, 4 * HOUR, 5 * HOUR]
    for hour in (6, 7):
        clock.time = hour * HOUR
        local.until(name, lambda schedule, hour=hour: schedule.started_run_count == hour - 2)
    assert is_completed(local.get(name))
    for refused in (local.pause, local.resume, lambda name: local.update(name, cron="1 * * * *")):
        with pytest.raises(FailedPrecondition, match="COMPLETED"):
            refused(name)


def test_what_was_missed_while_nothing_ran_is_caught_up_only_if_asked(vertex):
    clock = HandClock(0.0)
    local = vertex(clock)
    plain, catching_up = local.create().name, local.create().name
    local.pause(catching_up)
    local.resume(catching_up, catch_up=True)
    clock.time = 3.5 * HOUR
    local = vertex(clock)
    local.services.resume()
    local.until(catching_up, lambda schedule: schedule.started_run_count == 3)
    assert local.times(catching_up) == [HOUR, 2 * HOUR, 3 * HOUR]
    assert due(local.until(plain, lambda schedule: due(schedule) == 4 * HOUR)) == due(local.get(catching_up))
    assert local.times(plain) == []


def test_a_run_that_cannot_start_is_told_and_not_counted(vertex):
    clock = HandClock(0.0)
    local = vertex(clock)
    local.services.resume()
    artifact = f"{PARENT}/metadataStores/default/artifacts/data"
    payload = (
        f'{{"name": "{artifact}", "displayName": "", "uri": "gs://b/d", "schemaTitle": "system.Artifact",'
        ' "schemaVersion": "0.0.1", "metadata": {}, "state": "LIVE", "createTime": 0}'
    )
    local.store.create(artifact, "artifact", payload.encode())
    spec = importing()
    spec["root"]["inputDefinitions"] = {"artifacts": {"data": {"artifactType": ARTIFACT}}}
    job = {
        "pipeline_spec": spec,
        "runtime_config": {
            "gcs_output_directory": "gs://b/o",
            "input_artifacts": {"data": {"artifact_id": "data"}},
        },
    }
    name = local.create(create_pipeline_job_request={"parent": PARENT, "pipeline_job": job}).name
    local.store.delete(artifact)
    clock.time = HOUR
    told = local.until(name, lambda schedule: schedule.last_scheduled_run_response)
    assert told.last_scheduled_run_response.run_response.startswith("INVALID_ARGUMENT: ")
    assert "data" in told.last_scheduled_run_response.run_response
    assert (told.started_run_count, due(told), local.times(name)) == (0, 2 * HOUR, [])
    local.store.create(artifact, "artifact", payload.encode())
    clock.time = 2 * HOUR
    assert local.until(name, lambda schedule: schedule.started_run_count == 1).state.name == "ACTIVE"


def test_an_update_changes_what_the_mask_names(vertex):
    clock = HandClock(0.5 * HOUR)
    local = vertex(clock)
    created = local.create()
    clock.time = 1.5 * HOUR
    updated = local.update(
        created.name, "cron", "display_name", "state", cron="30 */2 * * *", display_name="B", max_run_count=7
    )
    assert (updated.display_name, updated.max_run_count, updated.state.name) == ("B", 0, "ACTIVE")
    assert (due(updated), updated.start_time) == (2.5 * HOUR, created.start_time)
    request = v1.CreatePipelineJobRequest(pipeline_job={"labels": {"team": "churn"}})
    labelled = local.update(
        created.name, "create_pipeline_job_request.pipeline_job.labels", create_pipeline_job_request=request
    )
    job = labelled.create_pipeline_job_request.pipeline_job
    assert (dict(job.labels), job.pipeline_spec["pipelineInfo"]["name"]) == (
        {"team": "churn"},
        "note-the-time",
    )
    for paths, fields, reason in [
        (["cron"], {}, "cannot be unset"),
        (["colour"], {}, "'colour': cannot be changed"),
        (["create_notebook_execution_job_request"], {}, "cannot be changed"),
        (["cron"], {"cron": "61 * * * *"}, "bad minute"),
        (["end_time"], {"end_time": datetime(1970, 1, 1, 1, tzinfo=UTC)}, "expected a time in the future"),
    ]:
        with pytest.raises(InvalidArgument, match=reason):
            local.update(created.name, *paths, **fields)
    with pytest.raises(InvalidArgument, match="update_mask: empty"):
        local.api.update_schedule(v1.UpdateScheduleRequest(schedule={"name": created.name}), None)
    assert local.get(created.name) == labelled


def test_list_and_delete(vertex):
    clock = HandClock(0.0)
    local = vertex(clock)
    names = []
    for number in range(3):
        clock.time = float(number)
        names.append(local.create(display_name=f"my_schedule_{number}").name)
    local.pause(names[1])

    def listed(**asked) -> list[str]:
        request = v1.ListSchedulesRequest(parent="projects/any/locations/us-central1", **asked)
        return [schedule.name for schedule in local.api.list_schedules(request, None).schedules]

    assert listed() == names[::-1]
    assert listed(order_by="create_time") == names
    assert listed(filter='state="PAUSED" AND display_name:"my_schedule_*"') == [names[1]]
    text = 'create_pipeline_job_request:* AND NOT display_name="my_schedule_2"'
    assert listed(filter=text, page_size=1) == [names[1]]
    assert listed(filter='create_time > "1970-01-01T00:00:01Z"') == [names[2]]
    assert listed(filter="end_time:*") == []
    operation = local.api.delete_schedule(v1.DeleteScheduleRequest(name=names[0]), None)
    assert operation.done and operation.name.startswith(names[0])
    with pytest.raises(NotFound):
        local.get(names[0])
    assert listed() == [names[2], names[1]]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"display_name": ""}, "display_name ''"),
        ({"display_name": "x" * 129}, "1 to 128 characters"),
        ({"cron": "every day"}, "schedule.cron 'every day': 2 fields"),
        ({"cron": "TZ=Mars/Base 0 0 * * *"}, "'Mars/Base'"),
        ({"max_concurrent_run_count": 0}, "max_concurrent_run_count 0"),
        ({"max_run_count": -1}, "max_run_count -1"),
        ({"end_time": datetime(1969, 1, 1, tzinfo=UTC)}, "end_time"),
        (
            {
                "start_time": datetime(2030, 1, 2, tzinfo=UTC),
                "end_time": datetime(2030, 1, 1, tzinfo=UTC),
            },
            "after start_time",
        ),
        ({"create_pipeline_job_request": None}, "create_pipeline_job_request.parent: empty"),
        (
            {"create_pipeline_job_request": {"parent": "projects/p/locations/europe-west4"}},
            "expected the schedule's own",
        ),
        (
            {"create_pipeline_job_request": {"parent": PARENT, "pipeline_job_id": "mine"}},
            "pipeline_job_id 'mine'",
        ),
        ({"create_pipeline_job_request": {"parent": PARENT}}, "pipeline_spec"),
        (
            {
                "create_pipeline_job_request": {
                    "parent": PARENT,
                    "pipeline_job": {"pipeline_spec": importing()},
                }
            },
            "gs://",
        ),
    ],
)
def test_what_vertex_refuses_is_refused(vertex, fields, reason):
    local = vertex(HandClock(0.0))
    with pytest.raises(InvalidArgument) as refused:
        local.create(**fields)
    assert reason in refused.value.message
    assert local.store.list("schedule") == []


def test_notebooks_are_not_scheduled(vertex):
    request = v1.CreateNotebookExecutionJobRequest(parent=PARENT)
    with pytest.raises(MethodNotImplemented, match="create_notebook_execution_job_request"):
        vertex(HandClock(0.0)).create(
            create_pipeline_job_request=None, create_notebook_execution_job_request=request
        )


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from trainwright.local.store import Store
sys.path.insert(0, sys.argv[2])
from test_schedules import HOUR, LeapingClock, Vertex, is_completed

class MortalStore(Store):
    '''Kills the process with a commit that schedules or their runs make: before it, or right after.'''
    left = None

    def _commit(self, kind, commit):
        if self.left is None or kind not in ("schedule", "pipelineJob"):
            return commit()
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = commit()
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def create(self, name, kind, payload):
        return self._commit(kind, lambda: Store.create(self, name, kind, payload))

    def write_many(self, rows):
        rows = list(rows)
        return self._commit(rows[0][1], lambda: Store.write_many(self, rows))

class NotingClock(LeapingClock):
    '''Its time outlives the process.'''
    def wait(self, woken, until):
        super().wait(woken, until)
        note.write_text(str(self.time))

import test_schedules
test_schedules.Store = MortalStore
for point in range(1, 40):
    state = Path(sys.argv[1]) / str(point)
    state.mkdir()
    note = state / "time"
    note.write_text("0.0")
    if not (child := os.fork()):
        local = Vertex(state, NotingClock(0.0))
        name = local.create(max_run_count=2).name
        local.store.left = point
        local.services.resume()
        local.until(name, is_completed)
        local.close()
        os._exit(0)
    outlived = os.waitpid(child, 0)[1] == 0
    shutil.copytree(state, state / "later")
    # Started again at once, and after a time for which everything that was not accepted counts as missed.
    for again, downtime in ((state, 0.0), (state / "later", 1.5 * HOUR)):
        if not (child := os.fork()):
            local = Vertex(again, NotingClock(float(note.read_text()) + downtime))
            name = local.store.list("schedule")[0].name
            local.services.resume()
            done = local.until(name, is_completed)
            local.until(name, lambda _: all(job.end_time for job in local.jobs(name)))
            assert done.started_run_count == len(local.times(name)) == 2, (done, local.times(name))
            assert downtime or local.times(name) == [HOUR, 2 * HOUR], local.times(name)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, (point, downtime)
    if outlived:
        break
print(point)
"""


def test_a_process_killed_at_any_commit_starts_each_run_once(tmp_path):
    here = Path(__file__)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(here.parent)],
        env=os.environ | {"PYTHONPATH": str(here.parents[3])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # For each of two runs: time accepted, job recorded, start noted; killed before and after.
    assert int(done.stdout) == 2 * 3 * 2 + 1
