"""`google.cloud.aiplatform.v1.ScheduleService`: pipelines that run again and again.

A schedule is two records, written in one transaction: the resource, and its progress (times that were seen,
and those that wait). A time is recorded as waiting before its run is created, and the run's name is made of
the schedule and the time: whenever the process is killed, the run exists once and is counted once.
"""

import json
import logging
import threading
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Any

from google.api_core.exceptions import (
    FailedPrecondition,
    GoogleAPICallError,
    InvalidArgument,
    MethodNotImplemented,
)
from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2, field_mask_pb2

from trainwright.local.services.cron import Cron, CronError
from trainwright.local.services.names import Project, location_of, new_id
from trainwright.local.services.operations import Operations
from trainwright.local.services.pipeline_jobs import PipelineJobs
from trainwright.local.services.resources import Resources, timestamp
from trainwright.local.services.scheduler import Clock, Scheduler
from trainwright.local.services.scheduling import (
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
from trainwright.local.store import Store

_State = v1.Schedule.State
_REQUEST = "create_pipeline_job_request"
_MUTABLE = {
    "allow_queueing",
    "cron",
    _REQUEST,
    "display_name",
    "end_time",
    "max_concurrent_active_run_count",
    "max_concurrent_run_count",
    "max_run_count",
    "start_time",
}
_OUTPUT_ONLY = {
    "catch_up",
    "create_time",
    "last_pause_time",
    "last_resume_time",
    "last_scheduled_run_response",
    "name",
    "next_run_time",
    "started_run_count",
    "state",
    "update_time",
}
_RETRY_AFTER = 30.0
_Mask: Any = field_mask_pb2.FieldMask

_logger = logging.getLogger(__name__)


class Schedules:
    """Creates, shows, changes, pauses, resumes and deletes schedules, and starts their runs.

    Args:
        store: Where schedules are.
        pipeline_jobs: Checks and starts runs.
        operations: Keeps the operation of a deletion.
        project: For names.
        clock: What is due goes by it.
    """

    def __init__(
        self,
        *,
        store: Store,
        pipeline_jobs: PipelineJobs,
        operations: Operations,
        project: Project,
        clock: Clock,
    ) -> None:
        self._store = store
        self._pipeline_jobs = pipeline_jobs
        self._operations = operations
        self._project = project
        self._clock = clock
        self._lock = threading.Lock()  # held from reading a schedule until it is written
        self._schedules: Resources[v1.Schedule] = Resources(store, "schedule", v1.Schedule)
        self._scheduler = Scheduler(self._look, clock)
        self._unsubscribe = store.subscribe(self._changed)

    def start(self) -> None:
        """Begins to start runs; times that passed meanwhile are caught up or not as their schedule says."""
        self._scheduler.start()

    def close(self) -> None:
        """Starts no more runs."""
        self._unsubscribe()
        self._scheduler.close()

    def create_schedule(self, request: v1.CreateScheduleRequest, context: Any) -> v1.Schedule:
        """Checks and records a schedule; it is ACTIVE at once.

        Raises:
            InvalidArgument: A field is missing or wrong, or the pipeline job could not run.
            MethodNotImplemented: It is to run notebooks.
        """
        now = self._clock.now()
        parent = self._project.canonical(request.parent)
        schedule = v1.Schedule(request.schedule)
        for field in _OUTPUT_ONLY:
            v1.Schedule.pb(schedule).ClearField(field)
        schedule.start_time = schedule.start_time or timestamp(now)
        self._check(schedule, parent)
        _check_end(schedule, now)
        schedule.name = f"{parent}/schedules/{new_id()}"
        schedule.state = _State.ACTIVE
        schedule.create_time = schedule.update_time = timestamp(now)
        with self._lock:
            self._save(schedule, beginning(now, _seconds(schedule.start_time)))
        self._scheduler.wake()
        return schedule

    def get_schedule(self, request: v1.GetScheduleRequest, context: Any) -> v1.Schedule:
        """The schedule with its state, its next run and its last one."""
        return self._schedules.get(self._project.canonical(request.name))

    def list_schedules(self, request: v1.ListSchedulesRequest, context: Any) -> v1.ListSchedulesResponse:
        """The schedules of a location."""
        schedules = self._schedules.all(f"{self._project.canonical(request.parent)}/schedules/")
        found, token = self._schedules.page(schedules, request)
        return v1.ListSchedulesResponse(schedules=found, next_page_token=token)

    def update_schedule(self, request: v1.UpdateScheduleRequest, context: Any) -> v1.Schedule:
        """Changes the fields of the mask; runs that wait are dropped, and times count from now on.

        Raises:
            FailedPrecondition: The schedule is COMPLETED.
            InvalidArgument: The mask or a value is not valid, or empties a field.
        """
        now = self._clock.now()
        name = self._project.canonical(request.schedule.name)
        paths = list(request.update_mask.paths)
        with self._lock:
            schedule = self._schedules.get(name)
            if schedule.state == _State.COMPLETED:
                raise FailedPrecondition(f"Schedule {name!r} is COMPLETED and cannot be changed")
            _merge(request.schedule, schedule, paths)
            self._check(schedule, name.partition("/schedules/")[0])
            if "end_time" in paths or "*" in paths:
                _check_end(schedule, now)
            schedule.update_time = timestamp(now)
            self._save(schedule, beginning(now, _seconds(schedule.start_time), schedule.started_run_count))
        self._scheduler.wake()
        return schedule

    def pause_schedule(self, request: v1.PauseScheduleRequest, context: Any) -> empty_pb2.Empty:
        """No run starts until the schedule is resumed; runs that were started go on. A paused one stays so.

        Raises:
            FailedPrecondition: The schedule is COMPLETED.
        """
        name = self._project.canonical(request.name)
        with self._lock:
            schedule = self._schedules.get(name)
            if schedule.state == _State.COMPLETED:
                raise FailedPrecondition(f"Schedule {name!r} is COMPLETED and cannot be paused")
            if schedule.state == _State.ACTIVE:
                schedule.state = _State.PAUSED
                schedule.last_pause_time = schedule.update_time = timestamp(self._clock.now())
                self._schedules.save(name, schedule)
        return empty_pb2.Empty()

    def resume_schedule(self, request: v1.ResumeScheduleRequest, context: Any) -> empty_pb2.Empty:
        """Lets runs start again: from the next time on, or with all that were missed first.

        Raises:
            FailedPrecondition: The schedule is not PAUSED.
        """
        name = self._project.canonical(request.name)
        now = self._clock.now()
        with self._lock:
            schedule = self._schedules.get(name)
            if schedule.state != _State.PAUSED:
                raise FailedPrecondition(
                    f"Schedule {name!r} is {schedule.state.name}: only a PAUSED one is resumed"
                )
            schedule.state = _State.ACTIVE
            schedule.catch_up = request.catch_up
            schedule.last_resume_time = schedule.update_time = timestamp(now)
            if request.catch_up:
                progress = resumed(_rules(schedule), self._progress(schedule), now)
            else:
                progress = beginning(now, _seconds(schedule.start_time), schedule.started_run_count)
            self._save(schedule, progress)
        self._scheduler.wake()
        return empty_pb2.Empty()

    def delete_schedule(self, request: v1.DeleteScheduleRequest, context: Any) -> Any:
        """Forgets a schedule; runs that were started go on and stay."""
        name = self._project.canonical(request.name)
        with self._lock:
            self._schedules.get(name)
            self._store.delete(name)
            self._store.delete(f"{name}/progress")
        return self._operations.done(name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def _look(self) -> float | None:
        """Does what is due for every schedule; says when to look again."""
        schedules = self._schedules.all("projects/")
        times = [self._act(schedule.name) for schedule in schedules if schedule.state == _State.ACTIVE]
        return min((time for time in times if time is not None), default=None)

    def _act(self, name: str) -> float | None:
        try:
            with self._lock:
                return self._follow(name)
        except Exception:  # one schedule must not hold up the others; what waits is in the store
            _logger.exception("%s: trying again in %.0f s", name, _RETRY_AFTER)
            return self._clock.now() + _RETRY_AFTER

    def _follow(self, name: str) -> float | None:
        schedule = self._schedules.find(name)
        if schedule is None or schedule.state != _State.ACTIVE:  # changed since it was listed
            return None
        rules = _rules(schedule)
        progress = self._progress(schedule)
        now = self._clock.now()
        decision = decide(rules, progress, now, self._active_run_count(schedule))
        if decision.progress != progress or is_completed(rules, decision.progress, now):
            self._save(schedule, decision.progress)
        progress = decision.progress
        for time in decision.start:
            response = self._start_run(schedule, time)
            step = started if response == "OK" else refused
            progress = step(rules, progress, time)
            schedule.last_scheduled_run_response = v1.Schedule.RunResponse(
                scheduled_run_time=timestamp(time), run_response=response
            )
            self._save(schedule, progress)
        return decision.look_again

    def _start_run(self, schedule: v1.Schedule, time: float) -> str:
        """Starts the run of a time, unless that has happened; "OK" or why it cannot be."""
        try:
            self._pipeline_jobs.create_scheduled(
                schedule.create_pipeline_job_request, schedule=schedule.name, time=time
            )
        except GoogleAPICallError as error:
            when = datetime.fromtimestamp(time, UTC).isoformat()
            _logger.warning("%s: no run for %s: %s", schedule.name, when, error.message)
            return f"{error.grpc_status_code.name if error.grpc_status_code else error.code}: {error.message}"
        return "OK"

    def _active_run_count(self, schedule: v1.Schedule) -> int:
        limited = schedule.max_concurrent_active_run_count
        return self._pipeline_jobs.active_run_count(schedule.name) if limited else 0

    def _progress(self, schedule: v1.Schedule) -> Progress:
        record = self._store.read(f"{schedule.name}/progress")
        assert record is not None  # written with the schedule
        seen_until, waiting = json.loads(record.payload)
        intervals = tuple((after, until) for after, until in waiting)
        return Progress(seen_until, intervals, schedule.started_run_count)

    def _save(self, schedule: v1.Schedule, progress: Progress) -> None:
        """Writes a schedule and its progress at once, with what follows from the progress."""
        rules = _rules(schedule)
        if schedule.state == _State.ACTIVE and is_completed(rules, progress, self._clock.now()):
            schedule.state = _State.COMPLETED
        following = None if schedule.state == _State.COMPLETED else next_run_time(rules, progress)
        schedule.next_run_time = timestamp(following)
        schedule.started_run_count = progress.started_run_count
        kept = json.dumps(astuple(progress)[:2]).encode()
        self._store.write_many(
            [
                (schedule.name, "schedule", v1.Schedule.serialize(schedule)),
                (f"{schedule.name}/progress", "scheduleProgress", kept),
            ]
        )

    def _check(self, schedule: v1.Schedule, parent: str) -> None:
        """Raises InvalidArgument for a schedule that can never work."""
        if not 0 < len(schedule.display_name) <= 128:
            raise InvalidArgument(
                f"schedule.display_name {schedule.display_name!r}: expected 1 to 128 characters"
            )
        try:
            Cron.parse(schedule.cron)
        except CronError as error:
            raise InvalidArgument(f"schedule.{error}") from None
        if schedule.max_concurrent_run_count < 1:
            found = schedule.max_concurrent_run_count
            raise InvalidArgument(f"schedule.max_concurrent_run_count {found}: expected 1 or more")
        for field in ("max_run_count", "max_concurrent_active_run_count"):
            if getattr(schedule, field) < 0:
                raise InvalidArgument(f"schedule.{field} {getattr(schedule, field)}: expected 1 or more")
        if schedule.end_time and schedule.end_time <= schedule.start_time:
            raise InvalidArgument("schedule.end_time: expected to be after start_time")
        self._check_request(schedule, parent)

    def _check_request(self, schedule: v1.Schedule, parent: str) -> None:
        kind = v1.Schedule.pb(schedule).WhichOneof("request")
        if kind not in (None, _REQUEST):
            raise MethodNotImplemented(f"schedule.{kind}: local Vertex AI schedules pipeline jobs only")
        job_request = schedule.create_pipeline_job_request
        if kind is None or not job_request.parent:
            raise InvalidArgument(f"schedule.{_REQUEST}.parent: empty; expected {parent!r}")
        if location_of(job_request.parent) != location_of(parent):
            raise InvalidArgument(
                f"schedule.{_REQUEST}.parent {job_request.parent!r}: expected the schedule's own, {parent!r}"
            )
        if job_request.pipeline_job_id:
            found = job_request.pipeline_job_id
            raise InvalidArgument(
                f"schedule.{_REQUEST}.pipeline_job_id {found!r}: expected none, since each run gets its own"
            )
        try:
            self._pipeline_jobs.check(job_request)
        except InvalidArgument as error:
            raise InvalidArgument(f"schedule.{_REQUEST}: {error.message}") from None

    def _changed(self, name: str) -> None:
        """Called by the store in the thread that wrote: a run that ended may make room for another."""
        if name.endswith("/run") and "/pipelineJobs/schedule-" in name:
            self._scheduler.wake()


def _rules(schedule: v1.Schedule) -> Rules:
    return Rules(
        cron=Cron.parse(schedule.cron),
        end_time=_seconds(schedule.end_time),
        max_run_count=schedule.max_run_count or None,
        max_concurrent_run_count=schedule.max_concurrent_run_count,
        max_concurrent_active_run_count=schedule.max_concurrent_active_run_count or None,
        allow_queueing=schedule.allow_queueing,
        catch_up=schedule.catch_up,
    )


def _seconds(time: Any) -> float | None:
    return time.timestamp() if time else None


def _check_end(schedule: v1.Schedule, now: float) -> None:
    end = _seconds(schedule.end_time)
    if end is not None and end <= now:
        found = schedule.end_time.rfc3339()
        raise InvalidArgument(f"schedule.end_time {found}: expected a time in the future")


def _merge(source: v1.Schedule, target: v1.Schedule, paths: list[str]) -> None:
    """Copies the fields of a mask; output-only fields are ignored (reference of UpdateScheduleRequest)."""
    if not paths:
        raise InvalidArgument("update_mask: empty; expected the fields to change")
    if paths == ["*"]:
        paths = [*(_MUTABLE - {_REQUEST}), _REQUEST]
    for path in paths:
        field = path.partition(".")[0]
        if field in _OUTPUT_ONLY:
            continue
        if field not in _MUTABLE or not _Mask(paths=[path]).IsValidForDescriptor(v1.Schedule.pb().DESCRIPTOR):
            allowed = ", ".join(sorted(_MUTABLE))
            raise InvalidArgument(f"update_mask {path!r}: cannot be changed; can be changed: {allowed}")
        before, after = v1.Schedule.pb(target), v1.Schedule.pb(source)
        if path == field != "allow_queueing" and _is_set(before, field) and not _is_set(after, field):
            raise InvalidArgument(f"schedule.{field}: empty; a field that was set cannot be unset")
        _Mask(paths=[path]).MergeMessage(after, before, True, True)


def _is_set(message: Any, field: str) -> bool:
    return any(descriptor.name == field for descriptor, _ in message.ListFields())
