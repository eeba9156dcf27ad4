"""`trainwright submit` and `trainwright run`."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainwright.cli.local import RUNTIME
from trainwright.cli.output import Output, note
from trainwright.errors import TaskFailed, UserError

if TYPE_CHECKING:
    from google.cloud.aiplatform import PipelineJob

    from trainwright.cli.session import Session
    from trainwright.compiling.spec import CompiledPipeline
    from trainwright.settings import Environment
    from trainwright.vertex.runs import Run

_LEAST_FREE_BYTES = 64 * 1024


@dataclass(frozen=True)
class _Request:
    """What is to be run, read and checked."""

    pipeline: "CompiledPipeline"
    parameters: dict[str, Any]
    artifacts: dict[str, str]
    labels: dict[str, str]
    enable_caching: bool | None


_ARGUMENTS = [
    click.argument("name", metavar="NAME|FILE.yaml"),
    click.option(
        "--param", "assignments", multiple=True, metavar="K=V", help="A parameter's value, as its type."
    ),
    click.option(
        "--params",
        "parameter_file",
        type=click.Path(path_type=Path),
        metavar="FILE.json",
        help="JSON object of parameter values; --param wins over it.",
    ),
    click.option(
        "--artifact", "artifacts", multiple=True, metavar="K=ID", help="An input artifact's metadata id."
    ),
    click.option("--label", "labels", multiple=True, metavar="K=V", help="A label of the run."),
    click.option("--no-cache", is_flag=True, help="Run every task, whatever the cache holds."),
    click.option("--json", "as_json", is_flag=True, help="Standard output is one JSON object of the run."),
    RUNTIME,
]


def _with_arguments(function: Any) -> Any:
    for decorator in reversed(_ARGUMENTS):
        function = decorator(function)
    return function


@click.command()
@_with_arguments
@click.option(
    "--env", "environment", required=True, metavar="ENV", help="`local`, or one of trainwright.toml."
)
@click.option(
    "--wait", is_flag=True, help="Show progress until the run has ended; exit 1 unless it succeeded."
)
@click.pass_obj
def submit(output: Output, environment: str, wait: bool, **arguments: Any) -> None:
    """Run a compiled pipeline on Vertex AI.

    NAME is a pipeline of `compiled/pipelines`; FILE.yaml is any compiled pipeline.
    """
    _submit(output, environment, wait=wait, **arguments)


@click.command()
@_with_arguments
@click.pass_obj
def run(output: Output, **arguments: Any) -> None:
    """Short for `submit --env local --wait`."""
    _submit(output, "local", wait=True, **arguments)


def find_pipeline(name: str) -> Path:
    """Finds the compiled pipeline that a name or path on the command line means.

    Args:
        name: Name of a pipeline of `compiled/pipelines`, or the path of a compiled pipeline.

    Raises:
        UserError: There is no such pipeline.
    """
    from trainwright.compiling.compile import compiled_folder
    from trainwright.nearest import nearest

    if "://" in name:
        raise UserError(f"{name}: expected a local file; download it first")
    if name.endswith(".py"):
        raise UserError(f"{name}: expected a compiled pipeline; compile it first: trainwright compile {name}")
    if name.endswith((".yaml", ".yml", ".json")) or "/" in name:
        return Path(name)
    folder = compiled_folder(Path.cwd()) / "pipelines"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = [found.stem for found in folder.glob("*.yaml")]
        hint = nearest(name, known) if known else "it is empty: run `trainwright compile`"
        raise UserError(f"{name}: no compiled pipeline of that name in {folder}, {hint}")
    return path


def _submit(
    output: Output,
    environment: str,
    *,
    wait: bool,
    name: str,
    assignments: tuple[str, ...],
    parameter_file: Path | None,
    artifacts: tuple[str, ...],
    labels: tuple[str, ...],
    no_cache: bool,
    as_json: bool,
    runtime: str | None,
) -> None:
    from trainwright.cli.session import vertex
    from trainwright.compiling.parameters import resolve, resolve_artifacts
    from trainwright.compiling.spec import read_pipeline
    from trainwright.settings import find_environment
    from trainwright.vertex.labels import read_labels

    where = find_environment(environment)
    pipeline = read_pipeline(find_pipeline(name))
    request = _Request(
        pipeline,
        resolve(
            pipeline,
            assignments,
            parameter_file,
            where.parameters.get(pipeline.path.stem),
            where.parameters_name(pipeline.path.stem),
        ),
        resolve_artifacts(pipeline, artifacts),
        read_labels(labels),
        enable_caching=False if no_cache else None,
    )
    for remark in pipeline.notes:
        note(f"note: {remark}")
    _check_findings(request, where)
    _check_cost(request, where)
    with vertex(where, outlive=not wait, runtime=runtime) as session:
        job = _create(request, session)
        if wait:
            _follow(job, output, session)
        else:
            _leave(job, output, session)


def _check_findings(request: _Request, environment: "Environment") -> None:
    """Looks through the pipeline with the run's own parameters and region.

    Raises:
        UserError: Vertex AI would refuse it, and the settings do not allow that.
    """
    from trainwright.compiling.lint.check import check_opt_outs, lint_document, without_allowed
    from trainwright.compiling.lint.document import read_document
    from trainwright.settings import find_lint

    allow = find_lint().allow
    check_opt_outs(allow)
    found = lint_document(
        read_document(request.pipeline.path),
        parameters=request.parameters,
        location=environment.location,
        project=environment.project,
    )
    errors = [finding for finding in without_allowed(found, allow) if finding.severity == "error"]
    if errors:
        first = errors[0]
        task = f"task {first.task}: " if first.task else ""
        more = f"; {len(errors) - 1} more errors" if errors[1:] else ""
        raise UserError(
            f"{first.file}:{first.line}: {task}{first.message} (rule {first.rule}){more};"
            f" `trainwright check --env {environment.name}` shows all"
        )


def _check_cost(request: _Request, environment: "Environment") -> None:
    """Says what the run costs by the estimate.

    Raises:
        UserError: That is more than the environment allows.
    """
    from trainwright.cli.cost import estimate_run, headline

    found = estimate_run(request.pipeline, environment, request.parameters)
    if environment.max_cost is not None and found.usd > environment.max_cost:
        raise UserError(
            f"{request.pipeline.path}: {headline(found)}, above max_cost {environment.max_cost:g} of"
            f" environments.{environment.name} (`trainwright cost` shows why)"
        )
    note(f"note: {headline(found)} (`trainwright cost` shows why)")


def _create(request: _Request, session: "Session") -> "PipelineJob":
    from trainwright.vertex.submit import submit as create

    return create(
        request.pipeline,
        session.environment,
        parameters=request.parameters,
        artifacts=request.artifacts,
        enable_caching=request.enable_caching,
        labels=request.labels,
    )


def _leave(job: "PipelineJob", output: Output, session: "Session") -> None:
    from trainwright.cli.summary import as_json, headline
    from trainwright.vertex.runs import look

    created = look(job)
    if output.as_json:
        output.emit(as_json(created, None))
        return
    click.echo(headline(created))
    click.echo(f"trainwright runs show {created.id} --env {session.environment.name}")


def _follow(job: "PipelineJob", output: Output, session: "Session") -> None:
    """Shows a run until it has ended, then what it came to.

    Raises:
        TaskFailed: It did not succeed.
    """
    from trainwright.cli.failure import describe
    from trainwright.cli.summary import as_json, headline, print_summary
    from trainwright.vertex.models import registered
    from trainwright.vertex.runs import SUCCEEDED

    ended = _watch(job, session)
    error = None if ended.state == SUCCEEDED else describe(ended, session)
    click.echo(headline(ended))
    if error is None:
        print_summary(ended, state=session.state, versions=registered(ended))
    if output.as_json:
        output.emit(as_json(ended, error))
    if error is not None:
        raise TaskFailed(error)


def _watch(job: "PipelineJob", session: "Session") -> "Run":
    from trainwright.cli.progress import Progress
    from trainwright.vertex.errors import Unreachable
    from trainwright.vertex.submit import wait

    click.echo(f"run {job.name} on {session.environment.name}")
    warn = _WarnOfFullDisk(session)
    try:
        with Progress() as progress:

            def changed(run: "Run") -> None:
                progress.show(run)
                warn()

            return wait(
                job,
                poll_seconds=session.environment.poll_seconds,
                changed=changed,
                is_up=session.is_up,
            )
    except Unreachable:
        if session.is_up():
            raise
        raise Unreachable(
            f"local Vertex was stopped; run {job.name} goes on with `trainwright local up`"
        ) from None
    except KeyboardInterrupt:
        environment = session.environment.name
        if session.embedded:
            note(f"\nstopped; run {job.name} goes on where it was with `trainwright local up`")
        else:
            note(
                f"\nno longer watching; the run goes on: trainwright runs show {job.name} --env {environment}"
            )
        raise


class _WarnOfFullDisk:
    """Says, once, that a run on local Vertex waits for room: it acts on nothing that it cannot record."""

    def __init__(self, session: "Session") -> None:
        self._state = session.state
        self._said = False

    def __call__(self) -> None:
        """Looks at the disk."""
        if self._state is None or self._said or shutil.disk_usage(self._state).free >= _LEAST_FREE_BYTES:
            return
        self._said = True
        note(f"no space left on the disk of {self._state}: the run goes on when there is")
