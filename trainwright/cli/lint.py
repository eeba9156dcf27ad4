"""`trainwright lint`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainwright.cli.output import Output, note
from trainwright.errors import UserError

if TYPE_CHECKING:
    from trainwright.compiling.lint.check import Report


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE|FOLDER]…")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
    help="Of standard output; sarif is for code review.",
)
@click.option("--explain", metavar="RULE", help="Say why a rule is one and how to mend what it finds.")
@click.pass_obj
def lint(output: Output, files: tuple[Path, ...], form: str, explain: str | None) -> int:
    """Find what Vertex AI would refuse in compiled pipelines, whoever compiled them.

    Without FILE, this project's `compiled` is looked through. Exit status: 0 nothing found, 1 something was,
    2 a mistake in the call.
    """
    if explain is not None:
        return _explain(explain)
    from trainwright.compiling.compile import compiled_folder
    from trainwright.compiling.lint.check import lint as lint_
    from trainwright.settings import find_lint

    here = Path.cwd()
    folder = compiled_folder(here)
    own = folder.relative_to(here) if folder.is_relative_to(here) else folder
    report = lint_(files or [own], find_lint().allow)
    _print(report, form)
    if not report.files:
        note("error: checked nothing: no compiled pipeline there")
        return 1
    for unused in report.unused if not files else ():
        note(f"note: lint.allow of {unused.rule} ({unused.reason}) allows nothing any more")
    return 1 if report.findings else 0


def _print(report: "Report", form: str) -> None:
    from trainwright.compiling.lint.report import as_json, as_sarif, as_text

    if form == "text":
        click.echo(as_text(report))
    else:
        click.echo(json.dumps(as_json(report) if form == "json" else as_sarif(report), indent=2))


def _explain(name: str) -> int:
    from trainwright.compiling.lint.check import rules
    from trainwright.nearest import nearest

    known = rules()
    if name not in known:
        raise UserError(f"--explain {name}: unknown rule, {nearest(name, known)}")
    rule = known[name]
    click.echo(f"{rule.id} ({rule.severity}): {rule.title}.\n\n{rule.why}\n\nHow to mend it: {rule.mend}")
    return 0
