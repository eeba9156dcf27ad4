"""`trainwright compile`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainwright.errors import UserError

if TYPE_CHECKING:
    from trainwright.compiling.compile import Compiled


@click.command("compile")
@click.argument("names", nargs=-1, metavar="[NAME|FILE.py]…")
@click.option(
    "--check", is_flag=True, help="Write nothing: print a diff and exit 1 if the files are not current."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to; the repository's `compiled` unless given.",
)
def compile_(names: tuple[str, ...], check: bool, output: Path | None) -> int:
    """Compile pipelines and components to YAML.

    NAME is a pipeline or component of this library, FILE.py a file with pipelines of your own; without any,
    every pipeline and component of this library is compiled, and a YAML file that nothing compiles to is
    removed from this repository's `compiled` or the folder that --output names.
    """
    from trainwright.compiling.compile import compile_all, compiled_folder, is_own

    folder = output if output is not None else compiled_folder(Path.cwd())
    owned = output is not None or is_own(folder)
    compiled = compile_all(names)
    if check:
        return _check(compiled, folder, owned=owned)
    if not compiled.files:
        raise UserError("nothing to compile: this library has no pipeline and no component")
    return _write(compiled, folder, owned=owned)


def _check(compiled: "Compiled", folder: Path, *, owned: bool) -> int:
    from trainwright.compiling.compile import differences

    if not compiled.files:
        click.echo("error: checked nothing: this library has no pipeline and no component", err=True)
        return 1
    diffs = differences(compiled, folder, owned=owned)
    for diff in diffs:
        click.echo(diff)
    if diffs:
        click.echo(
            f"{len(diffs)} of the files in {folder} are not current: run `trainwright compile`", err=True
        )
        return 1
    click.echo(f"{len(compiled.files)} files in {folder} are current")
    return 0


def _write(compiled: "Compiled", folder: Path, *, owned: bool) -> int:
    from trainwright.compiling.compile import write

    changed, removed = write(compiled, folder, owned=owned)
    for path in changed:
        click.echo(f"compiled {folder / path}")
    for path in removed:
        click.echo(f"removed {folder / path}")
    current = len(compiled.files) - len(changed)
    if current:
        click.echo(f"{current} files in {folder} were current")
    return 0
