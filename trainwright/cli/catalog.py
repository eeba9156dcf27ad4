"""`trainwright catalog`."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainwright.cli.output import Output
from trainwright.errors import UserError
from trainwright.nearest import nearest

if TYPE_CHECKING:
    from trainwright.compiling.spec import ArtifactSlot, Interface, Parameter


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option("--json", "as_json", is_flag=True, help="Standard output is one JSON object.")
@click.pass_obj
def catalog(output: Output, names: tuple[str, ...], as_json: bool) -> None:
    """Show pipelines and components, with inputs and outputs."""
    entries = _entries(names)
    if output.as_json:
        output.emit({kind: [_json_entry(*entry) for entry in found] for kind, found in entries.items()})
        return
    for kind, found in entries.items():
        for path, interface in found:
            click.echo(f"{kind[:-1]} {path.with_suffix('').as_posix()}")
            _print_interface(interface)
            click.echo()


def _entries(names: tuple[str, ...]) -> "dict[str, list[tuple[Path, Interface]]]":
    """The interfaces of what is compiled here, by path relative to `pipelines` and `components`.

    Where nothing is, as in a folder without a project, they are those of this library, compiled now.
    """
    from trainwright.compiling.compile import compile_all, compiled_folder, write

    found = _read(compiled_folder(Path.cwd()))
    if not any(found.values()):
        with tempfile.TemporaryDirectory() as folder:
            write(compile_all(), Path(folder), owned=False)
            found = _read(Path(folder))
    known = {path.stem for entries in found.values() for path, _ in entries}
    for name in names:
        if name not in known:
            raise UserError(f"{name}: unknown pipeline or component, {nearest(name, known)}")
    return {
        kind: [(path, interface) for path, interface in entries if not names or path.stem in names]
        for kind, entries in found.items()
    }


def _read(folder: Path) -> "dict[str, list[tuple[Path, Interface]]]":
    from trainwright.compiling.spec import read_pipeline

    return {
        kind: [
            (file.relative_to(folder / kind), read_pipeline(file).interface)
            for file in sorted((folder / kind).rglob("*.yaml"))
        ]
        for kind in ("pipelines", "components")
    }


def _print_interface(interface: "Interface") -> None:
    if interface.description:
        click.echo(f"  {interface.description.strip().splitlines()[0]}")
    inputs = [
        *((name, slot.schema, _optional(slot)) for name, slot in interface.artifacts.items()),
        *((name, parameter.type, _default(parameter)) for name, parameter in interface.parameters.items()),
    ]
    outputs = [
        *((name, slot.schema, "") for name, slot in interface.output_artifacts.items()),
        *((name, parameter.type, "") for name, parameter in interface.output_parameters.items()),
    ]
    for title, rows in (("inputs", inputs), ("outputs", outputs)):
        if rows:
            click.echo(f"  {title}")
        for name, kind, remark in rows:
            click.echo(f"    {name:<32} {kind:<24} {remark}".rstrip())


def _optional(slot: "ArtifactSlot") -> str:
    return "optional" if slot.optional else ""


def _default(parameter: "Parameter") -> str:
    from trainwright.compiling.spec import NO_DEFAULT

    if parameter.default is not NO_DEFAULT:
        return f"default {json.dumps(parameter.default, ensure_ascii=False)}"
    return "optional" if parameter.optional else "required"


def _json_entry(path: Path, interface: "Interface") -> dict[str, Any]:
    return {
        "name": path.stem,
        "stage": path.parent.as_posix() if path.parent != Path() else None,
        "description": interface.description,
        "inputs": {
            **{name: _json_slot(slot) for name, slot in interface.artifacts.items()},
            **{name: _json_parameter(parameter) for name, parameter in interface.parameters.items()},
        },
        "outputs": {
            **{name: _json_slot(slot) for name, slot in interface.output_artifacts.items()},
            **{
                name: {"parameter": parameter.type} for name, parameter in interface.output_parameters.items()
            },
        },
    }


def _json_slot(slot: "ArtifactSlot") -> dict[str, Any]:
    return {
        "artifact": slot.schema,
        "optional": slot.optional,
        "list": slot.is_list,
        "description": slot.description,
    }


def _json_parameter(parameter: "Parameter") -> dict[str, Any]:
    from trainwright.compiling.spec import NO_DEFAULT

    found: dict[str, Any] = {
        "parameter": parameter.type,
        "optional": not parameter.required,
        "description": parameter.description,
    }
    if parameter.default is not NO_DEFAULT:
        found["default"] = parameter.default
    return found
