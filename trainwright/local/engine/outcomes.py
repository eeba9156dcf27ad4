"""What becomes of tasks: states, artifacts, outputs, failures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

# google.rpc.Code: what Vertex AI puts into the error of a failed task, and of a cancelled one.
FAILED_PRECONDITION = 9
CANCELLED_CODE = 1
# Metadata of an artifact that lies in the run's workspace; kfp looks for it (kfp/dsl/types/artifact_types.py,
# 2.17.0, `Artifact._get_path`).
IN_WORKSPACE = "_kfp_workspace"


class State(StrEnum):
    """States of a task: PipelineTaskDetail.State of google.cloud.aiplatform.v1, and WAITING before them."""

    WAITING = "WAITING"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    SKIPPED = "SKIPPED"  # served from the cache
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    NOT_TRIGGERED = "NOT_TRIGGERED"

    @property
    def is_final(self) -> bool:
        """Whether nothing comes after it."""
        return self not in {State.WAITING, State.PENDING, State.RUNNING}

    @property
    def is_success(self) -> bool:
        """Whether tasks that wait for success may run."""
        return self in {State.SUCCEEDED, State.SKIPPED}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task did not succeed, as a google.rpc.Status."""

    message: str
    code: int = FAILED_PRECONDITION


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact that exists: its resource name, where it is, what it is."""

    name: str
    uri: str
    schema_title: str
    schema_version: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    display_name: str = ""

    def runtime(self) -> dict[str, Any]:
        """The artifact as an executor input has it (RuntimeArtifact in pipeline_spec.proto)."""
        return {
            "name": self.name,
            "uri": self.uri,
            "type": {"schemaTitle": self.schema_title, "schemaVersion": self.schema_version},
            "metadata": dict(self.metadata),
        }


@dataclass(frozen=True, slots=True)
class Outputs:
    """Outputs by name. A name that is missing has no value."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict)


NO_OUTPUTS = Outputs()


@dataclass(frozen=True, slots=True)
class Inputs:
    """Resolved inputs of a task.

    Attributes:
        parameters: Values by name; in a DAG an optional input without a value is None.
        artifacts: Artifacts by name; an optional input that was not given is missing.
        defaults: Of an executor: the defaults of parameters that were not given. They are not in the executor
            input (the function has its own defaults), but placeholders in the command stand for them.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)


NO_INPUTS = Inputs()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended."""

    state: State
    outputs: Outputs = NO_OUTPUTS
    failure: Failure | None = None


def failed(message: str) -> Outcome:
    """The outcome of a task that failed for this reason."""
    return Outcome(State.FAILED, failure=Failure(message))
