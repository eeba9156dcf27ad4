"""`trainwright cost`, and the estimate that `trainwright submit` prints."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainwright.cli.output import Output, duration
from trainwright.errors import UserError

if TYPE_CHECKING:
    from trainwright.compiling.cost import Estimate, Line
    from trainwright.compiling.spec import CompiledPipeline
    from trainwright.settings import Environment


@click.command()
@click.argument("name", metavar="NAME|FILE.yaml")
@click.option(
    "--param", "assignments", multiple=True, metavar="K=V", help="A parameter's value, as its type."
)
@click.option(
    "--params",
    "parameter_file",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="JSON object of parameter values; --param wins over it.",
)
@click.option(
    "--env", "environment", default="local", show_default=True, metavar="ENV", help="Its region counts."
)
@click.option(
    "--hours",
    "given",
    multiple=True,
    metavar="TASK=H",
    help="How long a task takes, or a trial of a tuning task.",
)
@click.option("--measured", is_flag=True, help="Take durations from earlier runs of the environment.")
@click.option("--cron", metavar="CRON", help="Show what a schedule costs a month: `0 3 * * 1`.")
@click.option("--json", "as_json", is_flag=True, help="Standard output is one JSON object.")
@click.pass_obj
def cost(
    output: Output,
    name: str,
    assignments: tuple[str, ...],
    parameter_file: Path | None,
    environment: str,
    given: tuple[str, ...],
    measured: bool,
    cron: str | None,
    as_json: bool,
) -> None:
    """Estimate what a run costs on Vertex AI, task by task, with every assumption and its date.

    Durations come from --hours, then from the environment's `hours` in trainwright.toml, then with --measured
    from its earlier runs; the rest is assumed, and said so.
    """
    from trainwright.cli.submit import find_pipeline
    from trainwright.compiling.cost import runs_a_month
    from trainwright.compiling.lint.form import form_problem
    from trainwright.compiling.parameters import resolve
    from trainwright.compiling.spec import read_pipeline
    from trainwright.settings import find_environment

    where = find_environment(environment)
    monthly = runs_a_month(cron) if cron is not None else None
    pipeline = read_pipeline(find_pipeline(name))
    problem = form_problem(pipeline.spec)
    if problem is not None:
        raise UserError(f"{pipeline.path}: {problem[0]}")
    key = pipeline.path.stem
    values = resolve(
        pipeline, assignments, parameter_file, where.parameters.get(key), where.parameters_name(key)
    )
    found = estimate_run(
        pipeline,
        where,
        values,
        hours=_read_hours(given),
        measured=_measured(pipeline, where) if measured else None,
    )
    if output.as_json:
        output.emit(_as_json(found, monthly))
        return
    for line in found.lines:
        _print(line)
    click.echo(f"{headline(found)}")
    if monthly is not None:
        click.echo(f"about {found.usd * monthly:.2f} USD a month: {monthly:.1f} runs by {cron!r}")
    click.echo(f"{found.sources}. Not counted: storage, BigQuery, network, retries, what the cache saves.")


def estimate_run(
    pipeline: "CompiledPipeline",
    environment: "Environment",
    parameters: Mapping[str, Any],
    *,
    hours: Mapping[str, float] | None = None,
    measured: Mapping[str, float] | None = None,
) -> "Estimate":
    """Estimates the cost of a run in an environment.

    Args:
        pipeline: The compiled pipeline.
        environment: Where it would run; its own `hours` count, too.
        parameters: Values of the run's parameters.
        hours: Durations by task; they win over the environment's.
        measured: Durations by task of earlier runs.

    Raises:
        UserError: A duration names no task.
    """
    from trainwright.compiling.cost import estimate

    own = environment.hours.get(pipeline.path.stem, {})
    return estimate(
        pipeline.spec,
        location=environment.location,
        parameters=parameters,
        hours={**own, **(hours or {})},
        measured=measured,
    )


def headline(found: "Estimate") -> str:
    """The sum in a line."""
    unknown = ", ".join(dict.fromkeys(line.task for line in found.unknown))
    beside = f", beside {unknown}, whose price is not known" if unknown else ""
    return f"about {found.usd:.2f} USD a run on Vertex AI in {found.location}{beside}"


def _read_hours(given: tuple[str, ...]) -> dict[str, float]:
    hours: dict[str, float] = {}
    for assignment in given:
        task, equals, text = assignment.rpartition("=")
        try:
            hours[task] = float(text)
        except ValueError:
            equals = ""
        if not equals or not task or not 0 <= hours[task] < float("inf"):
            raise UserError(f"--hours {assignment}: expected TASK=HOURS, such as train=1.5")
    return hours


def _measured(pipeline: "CompiledPipeline", environment: "Environment") -> dict[str, float]:
    """How long each task took in the newest run of the environment that ran it to its end, in hours."""
    from trainwright.cli.session import vertex
    from trainwright.vertex.runs import listing

    hours: dict[str, float] = {}
    with vertex(environment, resume=False) as session:
        for run in listing(session.environment, pipeline=pipeline.interface.name):
            for task in run.tasks:
                if task.state == "SUCCEEDED" and not task.is_group and task.seconds is not None:
                    hours.setdefault(_without_iterations(task.path), task.seconds / 3600)
    return hours


def _without_iterations(path: str) -> str:
    """A task's path in the pipeline: in a run iterations are numbered in it, `for-loop-2[0]/add`."""
    return re.sub(r"\[\d+\]", "", path)


def _print(line: "Line") -> None:
    amount = f"{line.usd:.4f}" if line.usd is not None else "unknown"
    hours = f", {duration(line.hours * 3600)}" if line.hours is not None else ""
    click.echo(
        f"{amount:>10} USD  {line.task or '(run)'}: {line.what}{hours} ({'; '.join(line.assumptions)})"
    )


def _as_json(found: "Estimate", monthly: float | None) -> dict[str, Any]:
    return {
        "usd": found.usd,
        "location": found.location,
        "lines": [
            {
                "task": line.task or None,
                "what": line.what,
                "hours": line.hours,
                "usd": line.usd,
                "assumptions": list(line.assumptions),
            }
            for line in found.lines
        ],
        "runs_a_month": monthly,
        "usd_a_month": None if monthly is None else found.usd * monthly,
        "sources": found.sources,
    }
