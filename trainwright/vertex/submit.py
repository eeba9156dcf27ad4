"""Submits a compiled pipeline to an environment and waits for it."""

import contextlib
import json
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.compiling.spec import CompiledPipeline
from trainwright.errors import UserError
from trainwright.settings import Environment
from trainwright.vertex.errors import google_errors
from trainwright.vertex.runs import Run, look

if TYPE_CHECKING:
    from google.cloud.aiplatform import PipelineJob

# A run goes on whether we look at it or not: this many answers in a row may fail before we stop looking.
_FAILURES_IN_A_ROW = 20


def submit(
    pipeline: CompiledPipeline,
    environment: Environment,
    *,
    parameters: Mapping[str, Any],
    artifacts: Mapping[str, str],
    enable_caching: bool | None = None,
    labels: Mapping[str, str] | None = None,
) -> "PipelineJob":
    """Creates a run; returns as soon as Vertex AI has accepted it.

    Args:
        pipeline: What to run.
        environment: Where, and with which account, network, key and labels.
        parameters: Parameter values, already checked against the pipeline's interface.
        artifacts: Ids of input artifacts, by name.
        enable_caching: Overrides the environment's and the tasks' own choice; None leaves it to them.
        labels: Of this run, on top of the environment's.

    Raises:
        UserError: Vertex AI or its SDK refuses the run.
        Unreachable: Vertex AI cannot be reached.
    """
    with google_errors(pipeline.interface.name), _template(pipeline) as template:
        from google.cloud import aiplatform

        try:
            job = aiplatform.PipelineJob(
                display_name=pipeline.interface.name,
                template_path=str(template),
                job_id=_job_id(pipeline.interface.name),
                pipeline_root=environment.pipeline_root,
                parameter_values=dict(parameters),
                input_artifacts=dict(artifacts),
                enable_caching=environment.enable_caching if enable_caching is None else enable_caching,
                encryption_spec_key_name=environment.encryption_key,
                labels={**environment.labels, **(labels or {})} or None,
                project=environment.project,
                location=environment.location,
                failure_policy=environment.failure_policy,
            )
        except (ValueError, TypeError) as error:  # the SDK's own checks, such as of labels
            raise UserError(f"{pipeline.path}: {' '.join(str(error).split())}") from error
        job.submit(service_account=environment.service_account, network=environment.network)
    return job


def wait(
    job: "PipelineJob", *, poll_seconds: float, changed: Callable[[Run], None], is_up: Callable[[], bool]
) -> Run:
    """Looks at a run until it has ended.

    Args:
        job: The run.
        poll_seconds: Seconds between two looks.
        changed: Called with the run after every look.
        is_up: Asked after a look that failed: whether it is worth looking again.

    Returns:
        The run as it ended, whether it succeeded or not.

    Raises:
        Unreachable: Vertex AI did not answer several times in a row.
    """
    from google.api_core import exceptions as api

    failures = 0
    while True:
        with google_errors(f"run {job.name}"):
            try:
                run = look(job)
                failures = 0
            except (api.ServerError, api.RetryError):
                failures += 1
                if failures == _FAILURES_IN_A_ROW or not is_up():
                    raise
                time.sleep(poll_seconds)
                continue
        changed(run)
        if run.has_ended:
            return run
        time.sleep(poll_seconds)


def _job_id(pipeline: str) -> str:
    """An id of our own: the SDK's has the second of submission, so that two in one second would collide."""
    name = re.sub("[^a-z0-9]+", "-", pipeline.lower()).strip("-")[:100] or "pipeline"
    name = name if name[0].isalpha() else f"pipeline-{name}"
    return f"{name}-{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(2)}"


@contextlib.contextmanager
def _template(pipeline: CompiledPipeline) -> Iterator[Path]:
    """The file to give to the SDK, which reads files of one YAML document only."""
    if pipeline.documents == 1:
        yield pipeline.path
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.json"
        path.write_text(json.dumps(pipeline.spec), encoding="utf-8")
        yield path
