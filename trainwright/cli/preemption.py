"""Asks the local Vertex AI of the state folder, wherever it runs, to take the machines of a job away."""

import os

from trainwright.errors import UserError

_ANSWER_SECONDS = 60.0
_CHIEF = "workerpool0-0"


def preempt(job: str, replica: str | None) -> None:
    """Preempts a custom job; returns when that is recorded, before its processes have ended.

    Args:
        job: Its id or resource name.
        replica: The one whose machine goes, such as `workerpool1-0`, or `chief`; None for all.

    Raises:
        UserError: No local Vertex AI serves the state folder, or the job or the replica cannot be preempted.
    """
    from trainwright.cli.session import connect
    from trainwright.settings import LOCAL, find_environment, state_folder

    environment = find_environment(LOCAL)
    variables = connect(state_folder())
    if variables is None:
        raise UserError(f"local Vertex is down for {state_folder()}: nothing runs that could be preempted")
    os.environ.update(variables)  # before anything imports Google's clients
    import google.auth
    from google.api_core.exceptions import from_http_status
    from google.auth.transport.requests import AuthorizedSession

    from trainwright.vertex.errors import google_errors

    parent = f"projects/{environment.project}/locations/{environment.location}"
    name = job if "/" in job else f"{parent}/customJobs/{job}"
    if replica is not None:
        name += f"/replicas/{_CHIEF if replica == 'chief' else replica}"
    with google_errors(f"job {job}"):
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        host = f"https://{environment.location}-aiplatform.googleapis.com"
        answer = AuthorizedSession(credentials).post(f"{host}/v1/{name}:preempt", timeout=_ANSWER_SECONDS)
        if not answer.ok:
            raise from_http_status(answer.status_code, answer.json()["error"]["message"])
