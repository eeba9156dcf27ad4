"""The notification e-mail of `VertexNotificationEmailOp`.

The op's own program only raises ("supported only on Vertex Pipelines"): the backend is to know the op by its
command and to send the message itself. (google-cloud-pipeline-components 2.22.0,
container/v1/vertex_notification_email/executor.py; Vertex AI, "Configure email notifications", 2026-08-22.)
"""

import re
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any

from trainwright.local.engine.inputs import InputError
from trainwright.local.engine.names import task_id
from trainwright.local.engine.pipeline_run import PipelineRun
from trainwright.local.engine.spec import Constant, Container, FinalStatus, Task

_PROGRAM = "google_cloud_pipeline_components.container.v1.vertex_notification_email.executor"
# "You can specify up to three email addresses" (the page above).
MAX_RECIPIENTS = 3
_ADDRESS = re.compile(r"[^\s@<>,;\"]+@[^\s@<>,;\"]+")


def is_notification(container: Container) -> bool:
    """Whether a container is that of `VertexNotificationEmailOp`."""
    return _PROGRAM in container.command


def recipients_of(value: Any) -> tuple[str, ...]:
    """The addresses of the op's input `recipients`.

    Raises:
        InputError: They are no list of one to three e-mail addresses.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_RECIPIENTS:
        found = f"{len(value)} of them" if isinstance(value, list) else repr(value)[:60]
        raise InputError(f"recipients: found {found}, expected 1 to {MAX_RECIPIENTS} e-mail addresses")
    for address in value:
        if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
            raise InputError(f"recipients: {str(address)[:80]!r} is no e-mail address")
    return tuple(value)


def check_task(task: Task) -> None:
    """Says what can be known of a notification before the run.

    Raises:
        InputError: It is not the task of an exit handler, or its recipients are wrong.
    """
    status = task.parameters.get("pipeline_task_final_status")
    if status is None or not isinstance(status.source, FinalStatus):
        raise InputError("a notification e-mail can only be the exit task of a dsl.ExitHandler")
    recipients = task.parameters.get("recipients")
    if recipients is not None and isinstance(recipients.source, Constant):
        value = recipients.source.value
        if "{{$" not in str(value):  # the run's to say
            recipients_of(value)


def message(run: PipelineRun, path: str, values: Mapping[str, Any], sender: str, sent: float) -> EmailMessage:
    """The message that says how the tasks of an exit handler ended.

    Args:
        run: The run.
        path: The notification's path in it.
        values: The op's inputs: `recipients` and `pipeline_task_final_status`.
        sender: Whom it is from.
        sent: When, in seconds since 1970.

    Raises:
        InputError: The recipients are wrong.
    """
    recipients = recipients_of(values.get("recipients"))
    status = values.get("pipeline_task_final_status") or {}
    state = str(status.get("state", "unknown"))
    name = " ".join(run.display_name.split()) or run.job_id
    lines = [
        f"Pipeline job: {name}",
        f"State: {state}",
        f"Tasks: {status.get('pipelineTaskName', '')}",
        f"Project: {run.project}, location {run.location}",
        f"Run: {status.get('pipelineJobResourceName') or run.name}",
        f"Look at it: trainwright runs show {run.job_id}",
    ]
    error = status.get("error") or {}
    if error.get("message"):
        lines += ["", f"Error {error.get('code', '')}: {error['message']}"]
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = f"Vertex AI pipeline job {name}: {state}"
    mail["Date"] = formatdate(sent)
    # The same for a task that runs again after a crash, so that a reader's program shows it once.
    mail["Message-ID"] = f"<{task_id(run, path)}.{run.project_number}@trainwright.local>"
    mail.set_content("\n".join(lines) + "\n")
    return mail
