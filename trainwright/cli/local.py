"""`trainwright local`: up, down, status, preempt, env, exec."""

import os
import shlex
import subprocess
from pathlib import Path

import click

from trainwright.errors import UserError

RUNTIME = click.option(
    "--runtime",
    type=click.Choice(("process", "docker", "podman")),
    help="What tasks run in on local Vertex: processes of this machine, or their images in a container"
    " engine; `runtime` of [local] in trainwright.toml unless given.",
)


@click.group()
def local() -> None:
    """Start, stop and use local Vertex.

    It keeps its state in the folder `.trainwright`, or what TRAINWRIGHT_STATE names.
    """


@local.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65534),
    help="The first of the two ports that it takes on 127.0.0.1; any free ones unless given.",
)
@RUNTIME
def up(port: int | None, runtime: str | None) -> None:
    """Start local Vertex as a process of its own, which goes on with every run that had not ended."""
    from trainwright.cli.session import check_runtime, server_process, start_beside

    state = _state()
    process = server_process(state)
    if process is not None:
        if port is not None:
            raise UserError(
                f"--port {port}: local Vertex is up already for {state} (process {process}):"
                " run `trainwright local down` first"
            )
        check_runtime(state, runtime)
        click.echo(f"local Vertex is up already for {state} (process {process})")
        return
    start_beside(state, port=port or 0, runtime=runtime)
    click.echo(f"local Vertex is up for {state} (process {server_process(state)})")
    click.echo('for a shell, a notebook or another tool: eval "$(trainwright local env)"')


@local.command()
def down() -> None:
    """Stop local Vertex; runs that have not ended go on when it is started again."""
    from trainwright.cli.session import stop_beside

    state = _state()
    if stop_beside(state):
        click.echo(f"local Vertex is down for {state}")
    else:
        click.echo(f"local Vertex was not up for {state}")


@local.command()
@click.argument("job", metavar="JOB")
@click.option("--replica", metavar="REPLICA", help="Only this one: workerpool1-0, chief …; all unless given.")
def preempt(job: str, replica: str | None) -> None:
    """Take the machines of a running spot job away: SIGTERM, SIGKILL after 30 s, and the job starts again."""
    from trainwright.cli.preemption import preempt as ask

    ask(job, replica)
    click.echo(f"job {job}: {replica or 'all replicas'} preempted")


@local.command()
def status() -> int:
    """Say whether local Vertex is up for the state folder; exit 1 if it is not."""
    from trainwright.cli.session import server_process

    state = _state()
    process = server_process(state)
    if process is None:
        click.echo(f"local Vertex is down for {state}")
        return 1
    click.echo(f"local Vertex is up for {state} (process {process})")
    return 0


@local.command()
def env() -> None:
    """Print `export NAME=value` lines with which Google's clients in any shell talk to local Vertex."""
    from trainwright.cli.session import connect

    variables = connect(_state())
    if variables is None:
        raise UserError(f"local Vertex is down for {_state()}: run `trainwright local up` first")
    for name, value in sorted(variables.items()):
        click.echo(f"export {name}={shlex.quote(value)}")


@local.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(command: tuple[str, ...]) -> int:
    """Run a command whose Google clients talk to local Vertex; exit as it does."""
    from trainwright.cli.session import vertex
    from trainwright.settings import find_environment

    with vertex(find_environment("local")):
        try:
            process = subprocess.Popen(command, env=os.environ.copy())
        except OSError as error:
            raise UserError(f"{command[0]}: cannot be run: {error.strerror}") from error
        try:
            status = process.wait()
        except KeyboardInterrupt:  # the terminal has told the command as well: let it end by itself
            status = process.wait()
    return status if status >= 0 else 128 - status


def _state() -> Path:
    from trainwright.settings import state_folder

    return state_folder()
