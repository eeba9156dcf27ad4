"""`trainwright catalog`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainwright.cli.output import Output
from trainwright.errors import UserError

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
    """The interfaces of the compiled files, by path relative to `pipelines` and `components`."""
    from trainwright.compiling.compile import compiled_folder
    from trainwright.compiling.spec import read_pipeline
    from trainwright.nearest import nearest

    folder = compiled_folder(Path.cwd())
    files = {kind: sorted((folder / kind).rglob("*.yaml")) for kind in ("pipelines", "components")}
    known = {file.stem for found in files.values() for file in found}
    if not known:
        raise UserError(f"{folder}: nothing compiled in it: run `trainwright compile`")
    for name in names:
        if name not in known:
            raise UserError(f"{name}: unknown pipeline or component, {nearest(name, known)}")
    return {
        kind: [
            (file.relative_to(folder / kind), read_pipeline(file).interface)
            for file in found
            if not names or file.stem in names
        ]
        for kind, found in files.items()
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
