"""`trainwright runs`: list, show, logs, cancel."""

import time
from typing import TYPE_CHECKING, Any

import click

from trainwright.cli.output import Output, duration, note
from trainwright.errors import UserError

if TYPE_CHECKING:
    from trainwright.vertex.runs import Run, Task

_CANCEL_SECONDS = 120.0

_ENVIRONMENT = click.option(
    "--env",
    "environment",
    default="local",
    show_default=True,
    metavar="ENV",
    help="Environment of trainwright.toml.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Standard output is one JSON object.")


@click.group()
def runs() -> None:
    """Look at runs, their tasks and logs; cancel them."""


@runs.command("list")
@_ENVIRONMENT
@_JSON
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, the newest first."
)
@click.pass_obj
def list_(output: Output, environment: str, as_json: bool, limit: int) -> None:
    """List the runs of an environment, the newest first."""
    from trainwright.cli.session import vertex
    from trainwright.settings import find_environment
    from trainwright.vertex.runs import listing

    with vertex(find_environment(environment), resume=False) as session:
        found = listing(session.environment)[:limit]
    if output.as_json:
        output.emit({"runs": [_json_row(run) for run in found]})
        return
    if not found:
        click.echo(f"no runs in {environment}", err=True)
    width = max((len(run.id) for run in found), default=0)
    for run in found:
        created = f"{run.created.astimezone():%Y-%m-%d %H:%M:%S}" if run.created else ""
        state = run.state.removeprefix("PIPELINE_STATE_")
        click.echo(f"{run.id:<{width}}  {state:<10}  {created}  {duration(run.seconds):>12}")


@runs.command()
@click.argument("name", metavar="RUN")
@_ENVIRONMENT
@_JSON
@click.pass_obj
def show(output: Output, name: str, environment: str, as_json: bool) -> None:
    """Show a run: its tasks, and what it came to or why it failed."""
    from trainwright.cli.failure import describe
    from trainwright.cli.progress import task_line
    from trainwright.cli.session import vertex
    from trainwright.cli.summary import as_json as document
    from trainwright.cli.summary import headline, print_summary
    from trainwright.settings import find_environment
    from trainwright.vertex.models import registered
    from trainwright.vertex.runs import SUCCEEDED, find, look

    with vertex(find_environment(environment), resume=False) as session:
        run = look(find(name, session.environment))
        error = describe(run, session) if run.has_ended and run.state != SUCCEEDED else None
        versions = {} if output.as_json else registered(run)
    if output.as_json:
        output.emit(document(run, error))
        return
    click.echo(headline(run))
    for task in run.tasks:
        click.echo(task_line(task))
    if error is not None:
        click.echo(error)
    print_summary(run, state=session.state, versions=versions)


@runs.command()
@click.argument("name", metavar="RUN")
@click.argument("task", required=False)
@click.option("--follow", is_flag=True, help="Go on printing until the run, or the task, has ended.")
@_ENVIRONMENT
@click.pass_obj
def logs(output: Output, name: str, task: str | None, follow: bool, environment: str) -> None:
    """Print the logs of a run on local Vertex, or of one of its tasks; for the cloud, where they are."""
    from trainwright.cli.failure import log_file, log_url
    from trainwright.cli.logs import Logs
    from trainwright.cli.session import vertex
    from trainwright.settings import find_environment
    from trainwright.vertex.runs import TASK_ENDED, find, look

    with vertex(find_environment(environment), resume=False) as session:
        job = find(name, session.environment)
        run = look(job)
        if session.state is None:
            url = log_url(run, _task(run, task) if task is not None else None)
            if follow:
                raise UserError(f"--follow: only the logs of local Vertex can be followed; expected at {url}")
            click.echo(url)
            return
        printed = Logs(session.state, titled=task is None)
        while True:
            tasks = [_task(run, task)] if task is not None else [t for t in run.tasks if not t.is_group]
            printed.print(run, tasks)
            over = task is not None and tasks[0].state in TASK_ENDED
            if not follow or over or run.has_ended:
                break
            if session.embedded:
                note(f"run {run.id} is not going on: start local Vertex with `trainwright local up`")
                break
            time.sleep(session.environment.poll_seconds)
            run = look(job)
    if task is not None and log_file(session.state, run, tasks[0]) is None:
        raise UserError(f"run {run.id}: task {tasks[0].path!r} wrote no log ({tasks[0].state})")


@runs.command()
@click.argument("name", metavar="RUN")
@_ENVIRONMENT
@click.pass_obj
def cancel(output: Output, name: str, environment: str) -> None:
    """Cancel a run, and wait until it has stopped."""
    from trainwright.cli.session import vertex
    from trainwright.settings import find_environment
    from trainwright.vertex.errors import google_errors
    from trainwright.vertex.runs import find, look

    with vertex(find_environment(environment)) as session:
        job = find(name, session.environment)
        run = look(job)
        if run.has_ended:
            raise UserError(f"run {run.id}: has ended already ({run.state.removeprefix('PIPELINE_STATE_')})")
        with google_errors(f"run {run.id}"):
            job.cancel()
        deadline = time.monotonic() + _CANCEL_SECONDS
        while not run.has_ended and time.monotonic() < deadline:
            time.sleep(session.environment.poll_seconds)
            run = look(job)
    click.echo(f"run {run.id} {run.state.removeprefix('PIPELINE_STATE_')}")


def _task(run: "Run", name: str) -> "Task":
    from trainwright.nearest import nearest

    found = [task for task in run.tasks if name in (task.path, task.name)]
    exact = [task for task in found if task.path == name] or found
    if not exact:
        raise UserError(f"run {run.id}: no task {name!r}, {nearest(name, [task.path for task in run.tasks])}")
    if len(exact) > 1:
        raise UserError(f"run {run.id}: several tasks {name!r}: {', '.join(task.path for task in exact)}")
    return exact[0]


def _json_row(run: "Run") -> dict[str, Any]:
    return {
        "name": run.name,
        "pipeline": run.pipeline,
        "state": run.state,
        "created": run.created.isoformat() if run.created else None,
        "duration_seconds": run.seconds,
    }
