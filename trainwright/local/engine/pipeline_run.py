"""What is asked of the engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainwright.local.engine.dialect import Dialect, dialect_of


@dataclass(frozen=True)
class PipelineRun:
    """One run of a pipeline.

    Attributes:
        name: Resource name, projects/NUMBER/locations/LOCATION/pipelineJobs/ID.
        display_name: As given by the user.
        spec: PipelineSpec as a JSON object.
        parameters: The root's input parameters that the user gave; others get their defaults.
        input_artifacts: The root's input artifacts, each an artifact's id or resource name.
        pipeline_root: gs://BUCKET/… below which outputs are written.
        project: Project id, the value of its placeholder.
        project_number: Stands in resource names and output paths.
        location: Region, the value of its placeholder.
        service_account: The value of its placeholder.
        failure_policy: FAIL_SLOW (what can still run does) or FAIL_FAST (no task starts after a failure; exit
            handlers do).
        labels: The run's labels; `trainwright-dialect` is read (see `dialect`).
        create_time: Unix seconds.
        schedule_time: Unix seconds of the schedule's tick; None for a run that nobody scheduled.
        network: The value of its placeholder.
        encryption_key: The value of its placeholder.
    """

    name: str
    display_name: str
    spec: Mapping[str, Any]
    parameters: Mapping[str, Any]
    input_artifacts: Mapping[str, str]
    pipeline_root: str
    project: str
    project_number: str
    location: str
    service_account: str
    failure_policy: str
    labels: Mapping[str, str]
    create_time: float
    schedule_time: float | None
    network: str
    encryption_key: str

    @property
    def job_id(self) -> str:
        """The last part of the resource name."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def dialect(self) -> Dialect:
        """Whose behaviour the run asks for.

        Raises:
            ValueError: Its label names neither.
        """
        return dialect_of(self.labels)
