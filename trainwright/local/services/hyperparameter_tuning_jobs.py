"""`google.cloud.aiplatform.v1.JobService`, the part for hyperparameter tuning jobs."""

from datetime import timedelta
from typing import Any

from google.api_core.exceptions import InvalidArgument
from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2, json_format, struct_pb2

from trainwright.local.services.jobs import Jobs
from trainwright.local.services.launched import Launched
from trainwright.local.services.names import Project
from trainwright.local.services.operations import Operations
from trainwright.local.services.resources import timestamp
from trainwright.local.store import Store
from trainwright.local.training import HyperparameterTuningJobs as Training
from trainwright.local.training import Measurement, Trial, read_trials


class HyperparameterTuningJobs:
    """Creates, shows, cancels and deletes hyperparameter tuning jobs; training runs them."""

    def __init__(self, *, store: Store, training: Training, operations: Operations, project: Project) -> None:
        self._store = store
        self._training = training
        self._project = project
        self._launched = Launched(store)
        self._jobs: Jobs[v1.HyperparameterTuningJob] = Jobs(
            store=store,
            operations=operations,
            project=project,
            message_type=v1.HyperparameterTuningJob,
            first_state=v1.JobState.JOB_STATE_QUEUED,
        )

    def resume(self) -> None:
        """Goes on with every job that had not ended when the process before this one did."""
        for job in self._jobs.unfinished():
            self._start(job)

    def create_hyperparameter_tuning_job(
        self, request: v1.CreateHyperparameterTuningJobRequest, context: Any
    ) -> v1.HyperparameterTuningJob:
        """Checks, records and starts a job.

        Raises:
            InvalidArgument: The study or the job spec of its trials is not valid or cannot run here; nothing
                was created.
        """
        job = request.hyperparameter_tuning_job
        if not 0 < len(job.display_name) <= 128:
            raise InvalidArgument(
                f"hyperparameter_tuning_job.display_name {job.display_name!r}: expected 1 to 128 characters"
            )
        try:
            self._training.check(_plain(job))
        except ValueError as error:
            raise InvalidArgument(str(error)) from None
        if found := self._launched.lost(job, self._jobs.all(request.parent), context):
            return self._detailed(self._jobs.presented(found))
        self._jobs.begin(job, request.parent)
        self._jobs.record(job)
        self._start(job)
        return self._detailed(self._jobs.presented(job))

    def get_hyperparameter_tuning_job(
        self, request: v1.GetHyperparameterTuningJobRequest, context: Any
    ) -> v1.HyperparameterTuningJob:
        """The job with its state, error and trials."""
        job = self._jobs.get(request.name)
        self._launched.note(job.name, context)
        return self._detailed(job)

    def list_hyperparameter_tuning_jobs(
        self, request: v1.ListHyperparameterTuningJobsRequest, context: Any
    ) -> v1.ListHyperparameterTuningJobsResponse:
        """The jobs of a location; without trials when the caller's read mask leaves them out."""
        found, token = self._jobs.page(request)
        wanted = request.read_mask.paths
        if not wanted or any(path == "*" or path.startswith("trials") for path in wanted):
            found = [self._detailed(job) for job in found]
        return v1.ListHyperparameterTuningJobsResponse(
            hyperparameter_tuning_jobs=found, next_page_token=token
        )

    def cancel_hyperparameter_tuning_job(
        self, request: v1.CancelHyperparameterTuningJobRequest, context: Any
    ) -> empty_pb2.Empty:
        """Asks the job to stop; it is CANCELLED once its trials are gone. An ended job stays as it is."""
        return self._jobs.cancel(request.name, self._training.cancel)

    def delete_hyperparameter_tuning_job(
        self, request: v1.DeleteHyperparameterTuningJobRequest, context: Any
    ) -> Any:
        """Forgets a job that has ended, and its trials; what they wrote stays.

        Raises:
            FailedPrecondition: It is still running.
        """
        job = self._jobs.ended(request.name)
        trials = [f"{trial.custom_job}/run" for trial in read_trials(self._store, job.name)]
        trials += self._store.names("trial", f"{job.name}/trials/")
        return self._jobs.delete(job, f"{job.name}/launched", *trials)

    def _start(self, job: v1.HyperparameterTuningJob) -> None:
        self._training.start(
            job.name,
            _plain(job),
            project_number=self._project.number,
            created=job.create_time.timestamp(),
        )

    def _detailed(self, job: v1.HyperparameterTuningJob) -> v1.HyperparameterTuningJob:
        job.trials = [trial_message(trial) for trial in read_trials(self._store, job.name)]
        return job


def trial_message(trial: Trial) -> v1.Trial:
    """A trial as callers see it."""
    return v1.Trial(
        id=trial.id,
        state=v1.Trial.State[trial.state],
        parameters=[
            v1.Trial.Parameter(parameter_id=name, value=_value(value))
            for name, value in trial.parameters.items()
        ],
        final_measurement=_measurement(trial.final) if trial.final and trial.has_ended else None,
        measurements=[_measurement(measurement) for measurement in trial.measurements],
        start_time=timestamp(trial.start),
        end_time=timestamp(trial.end),
        infeasible_reason=trial.infeasible_reason,
        custom_job=trial.custom_job,
    )


def _measurement(measurement: Measurement) -> v1.Measurement:
    return v1.Measurement(
        elapsed_duration=timedelta(seconds=measurement.seconds),
        step_count=measurement.step,
        metrics=[
            v1.Measurement.Metric(metric_id=name, value=value) for name, value in measurement.metrics.items()
        ],
    )


def _value(value: str | int | float) -> struct_pb2.Value:
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    return struct_pb2.Value(number_value=value)


def _plain(job: v1.HyperparameterTuningJob) -> dict:
    return json_format.MessageToDict(v1.HyperparameterTuningJob.pb(job))
