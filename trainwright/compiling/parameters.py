"""Checks a run's parameter values against the compiled pipeline's types, strictly, before anything runs."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trainwright.compiling.spec import NO_DEFAULT, CompiledPipeline, Parameter
from trainwright.errors import UserError
from trainwright.nearest import nearest

# Parameters travel as google.protobuf.Value, whose numbers are doubles: larger integers would change.
_LARGEST_EXACT_INTEGER = 2**53

_EXPECTED = {
    "NUMBER_INTEGER": "an integer",
    "NUMBER_DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "STRING": "a string",
    "LIST": "a JSON list",
    "STRUCT": "a JSON object",
}


class _DuplicateKey(ValueError):
    """A JSON object has a key twice."""


def resolve(
    pipeline: CompiledPipeline,
    assignments: Iterable[str] = (),
    file: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    settings_name: str = "trainwright.toml",
) -> dict[str, Any]:
    """Makes a run's parameter values out of `--param`, `--params` and the environment's settings.

    Args:
        pipeline: The compiled pipeline, whose interface says what there is.
        assignments: `name=value` texts; the value is read as the parameter's type. They win over the file.
        file: JSON object of values, each of which must have the parameter's JSON type already. They win over
            the settings.
        settings: Values of the environment, typed as in the file.
        settings_name: What to call them in an error: `environments.prod.parameters.churn`.

    Returns:
        The values by name; a parameter that is left to its default is not among them.

    Raises:
        UserError: A parameter is unknown, repeated, missing or of the wrong type, or the file is unreadable.
    """
    parameters = pipeline.interface.parameters
    values: dict[str, Any] = {}
    for name, value in (settings or {}).items():
        parameter = _known(parameters, name, settings_name, pipeline)
        values[name] = _checked(parameter, value, f"{settings_name}.{name}")
    if file is not None:
        for name, value in _read_object(file).items():
            parameter = _known(parameters, name, str(file), pipeline)
            if value is None:
                _check_null(parameter, f"{file}: {name}")
                values.pop(name, None)
                continue
            values[name] = _checked(parameter, value, f"{file}: {name}")
    seen: set[str] = set()
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise UserError(f"--param {assignment}: expected name=value")
        parameter = _known(parameters, name, "--param", pipeline)
        if name in seen:
            raise UserError(f"--param {name}: given twice")
        seen.add(name)
        values[name] = _checked(parameter, _parse(parameter, text), f"--param {name}")
    missing = missing_parameters(pipeline, values)
    if missing:
        listed = ", ".join(f"{name} ({parameters[name].type})" for name in missing)
        raise UserError(f"{pipeline.path}: missing required parameter{'s' * (len(missing) > 1)}: {listed}")
    return values


def missing_parameters(pipeline: CompiledPipeline, values: Mapping[str, Any]) -> list[str]:
    """The names of the required parameters that have no value."""
    given = values.keys() | pipeline.given
    parameters = pipeline.interface.parameters
    return [name for name, parameter in parameters.items() if parameter.required and name not in given]


def check_settings(
    pipeline: CompiledPipeline, settings: Mapping[str, Any], settings_name: str
) -> tuple[dict[str, Any], list[str]]:
    """Checks an environment's values of a pipeline's parameters, each for itself.

    Args:
        pipeline: The compiled pipeline.
        settings: The values by name.
        settings_name: What to call them in a mistake.

    Returns:
        The values that are right, and the mistakes of the others, one line each.
    """
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for name, value in settings.items():
        try:
            parameter = _known(pipeline.interface.parameters, name, settings_name, pipeline)
            values[name] = _checked(parameter, value, f"{settings_name}.{name}")
        except UserError as error:
            mistakes.append(str(error))
    return values, mistakes


def resolve_artifacts(pipeline: CompiledPipeline, assignments: Iterable[str]) -> dict[str, str]:
    """Makes a run's input artifacts, by name, out of `--artifact name=ID` texts.

    Raises:
        UserError: An unknown, repeated or missing artifact.
    """
    slots = pipeline.interface.artifacts
    found: dict[str, str] = {}
    for assignment in assignments:
        name, _, identifier = assignment.partition("=")
        if not name or not identifier:
            raise UserError(f"--artifact {assignment}: expected name=ID of an artifact in Vertex ML Metadata")
        if name not in slots:
            raise UserError(
                f"--artifact {name}: unknown input artifact of {pipeline.path}, {nearest(name, slots)}"
            )
        if name in found:
            raise UserError(f"--artifact {name}: given twice")
        found[name] = identifier
    missing = [name for name, slot in slots.items() if not slot.optional and name not in found]
    if missing:
        listed = ", ".join(f"{name} ({slots[name].schema}; --artifact {name}=ID)" for name in missing)
        raise UserError(f"{pipeline.path}: missing input artifact{'s' * (len(missing) > 1)}: {listed}")
    return found


def _known(
    parameters: Mapping[str, Parameter], name: str, where: str, pipeline: CompiledPipeline
) -> Parameter:
    if name not in parameters:
        raise UserError(
            f"{where}: unknown parameter {name!r} of {pipeline.path}, {nearest(name, parameters)}"
        )
    return parameters[name]


def _check_null(parameter: Parameter, where: str) -> None:
    """Null means "not given": right for an optional parameter without a default, a surprise for any other."""
    if parameter.required:
        raise UserError(f"{where}: found null, expected {_expected(parameter)}")
    if parameter.default not in (NO_DEFAULT, None):
        raise UserError(
            f"{where}: found null, expected {_expected(parameter)}"
            f" (leave it out for the default, {json.dumps(parameter.default)})"
        )


def _parse(parameter: Parameter, text: str) -> Any:
    """Reads a `--param` text as the parameter's type; one that cannot be is left as text, to be refused."""
    stripped = text.strip()
    if parameter.type == "NUMBER_INTEGER" and re.fullmatch(r"[+-]?[0-9]+", stripped):
        return int(
            stripped[:40]
        )  # longer ones are too large anyway, and Python reads no more than 4,300 digits
    if parameter.type == "NUMBER_DOUBLE" and re.fullmatch(
        r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", stripped
    ):
        return float(stripped)
    if parameter.type == "BOOLEAN" and stripped.lower() in ("true", "false"):
        return stripped.lower() == "true"
    if parameter.type in ("LIST", "STRUCT"):
        try:
            return _parse_json(text)
        except ValueError:
            return text
    return text


def _checked(parameter: Parameter, value: Any, where: str) -> Any:
    if not _has_type(parameter.type, value):
        raise UserError(f"{where}: found {_shown(value)}, expected {_expected(parameter)}")
    if type(value) is int and abs(value) > _LARGEST_EXACT_INTEGER:
        raise UserError(
            f"{where}: found {_shown(value)}, expected at most 2**53, beyond which integers change"
        )
    if parameter.literals and value not in parameter.literals:
        allowed = [str(literal) for literal in parameter.literals]
        hint = nearest(str(value), allowed)
        raise UserError(f"{where}: found {_shown(value)}, expected one of {', '.join(allowed)}; {hint}")
    return value


def _has_type(kind: str, value: Any) -> bool:
    if kind == "NUMBER_INTEGER":
        return type(value) is int
    if kind == "NUMBER_DOUBLE":
        return type(value) in (int, float) and _is_finite(value)
    types: dict[str, type] = {"BOOLEAN": bool, "STRING": str, "LIST": list, "STRUCT": dict}
    return kind in types and type(value) is types[kind]


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every double
        return False


def _expected(parameter: Parameter) -> str:
    expected = _EXPECTED.get(parameter.type, f"no value: {parameter.type} is filled in by Vertex AI")
    return f"{expected} ({parameter.type})"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def _read_object(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"--params {file}: no such file") from None
    except UnicodeDecodeError:
        raise UserError(f"--params {file}: not UTF-8 text, expected a JSON object") from None
    except OSError as error:
        raise UserError(f"--params {file}: cannot be read: {error.strerror}") from error
    try:
        values = _parse_json(text)
    except _DuplicateKey as error:
        raise UserError(f"--params {file}: {error}") from error
    except json.JSONDecodeError as error:
        raise UserError(f"--params {file}: not JSON at line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"--params {file}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"--params {file}: found {_shown(values)}, expected a JSON object of parameters")
    return values


def _parse_json(text: str) -> Any:
    """Reads JSON as the standard has it: no key twice, no NaN or Infinity."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise _DuplicateKey(f"key {key!r} twice in one object")
            found[key] = value
        return found

    def no_constant(name: str) -> Any:
        raise ValueError(f"{name} is no JSON value")

    return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
