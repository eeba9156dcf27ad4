"""`trainwright check`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainwright.cli.output import Output, note
from trainwright.errors import UserError

if TYPE_CHECKING:
    from trainwright.compiling.check import Cell


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME|FILE.yaml]…")
@click.option(
    "--env", "chosen", multiple=True, metavar="ENV", help="Only this environment; may be given several times."
)
@click.option("--json", "as_json", is_flag=True, help="Standard output is one JSON object.")
@click.pass_obj
def check(output: Output, names: tuple[str, ...], chosen: tuple[str, ...], as_json: bool) -> int:
    """Check every pipeline in every environment: parameters, regions, machines, lint errors, cost.

    Without NAME, every pipeline of `compiled/pipelines`. Exit status: 0 all may be submitted, 1 some may not,
    2 a mistake in the call or in trainwright.toml.
    """
    from trainwright.cli.submit import find_pipeline
    from trainwright.compiling.check import check as check_
    from trainwright.compiling.check import stray_settings
    from trainwright.compiling.compile import compiled_folder
    from trainwright.nearest import nearest
    from trainwright.settings import find_lint, find_settings, read_environments

    environments = read_environments(find_settings(Path.cwd()))
    for name in chosen:
        if name not in environments:
            raise UserError(f"--env {name}: unknown environment, {nearest(name, environments)}")
    environments = {name: found for name, found in environments.items() if not chosen or name in chosen}
    every = sorted((compiled_folder(Path.cwd()) / "pipelines").glob("*.yaml"))
    paths = [_shown(path) for path in (map(find_pipeline, names) if names else every)]
    mistakes = stray_settings(environments, {path.stem for path in (*every, *paths)})
    if mistakes:
        settings = find_settings(Path.cwd())
        for mistake in mistakes[1:]:
            note(f"error: {settings}: {mistake}")
        raise UserError(f"{settings}: {mistakes[0]}")
    cells = check_(paths, environments, find_lint().allow)
    if output.as_json:
        output.emit({"cells": [_as_json(cell) for cell in cells]})
    else:
        _print(cells, list(environments))
    if not cells:
        note("error: checked nothing: no compiled pipeline there")
    return 0 if cells and not any(cell.reasons for cell in cells) else 1


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _print(cells: "Sequence[Cell]", environments: Sequence[str]) -> None:
    by_pipeline: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        by_pipeline.setdefault(cell.pipeline, {})[cell.environment] = cell
    rows = [["pipeline", *environments]]
    rows += [[name, *(_word(row[each]) for each in environments)] for name, row in by_pipeline.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip())
    for cell in cells:
        for reason in cell.reasons:
            click.echo(f"{cell.pipeline} in {cell.environment}: {reason}")
        if cell.needs:
            click.echo(f"{cell.pipeline} in {cell.environment} needs --param {', '.join(cell.needs)}")


def _word(cell: "Cell") -> str:
    known = "more than" if cell.unknown else "about"
    usd = f"{known} {cell.usd:.2f} USD" if cell.usd is not None else ""
    warnings = f"{cell.warnings} warnings" if cell.warnings else ""
    state = f"WRONG ({len(cell.reasons)})" if cell.reasons else "ok"
    return ", ".join(part for part in (state, usd, warnings) if part)


def _as_json(cell: "Cell") -> dict[str, object]:
    return {
        "pipeline": cell.pipeline,
        "environment": cell.environment,
        "ok": not cell.reasons,
        "reasons": list(cell.reasons),
        "needs": list(cell.needs),
        "warnings": cell.warnings,
        "usd": cell.usd,
        "unknown": list(cell.unknown),
    }
