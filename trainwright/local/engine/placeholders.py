"""`{{$…}}`: in constants and defaults of a spec, and in the command of an executor.

A placeholder is resolved only where the spec wrote it: a value that a user or a task gave is never searched
for placeholders, whatever it contains.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainwright.local.engine.fields import nearest
from trainwright.local.engine.names import in_workspace, local_path
from trainwright.local.engine.outcomes import IN_WORKSPACE
from trainwright.local.engine.values import text

_PLACEHOLDER = re.compile(r"\{\{\$(.*?)\}\}", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(\d+)\]")
# Text in a command that only looks like a placeholder (a template in somebody's source) is left alone.
_OURS = {"inputs", "outputs", "json_escape", "workspace_path"}


class PlaceholderError(ValueError):
    """A placeholder that names nothing. The task that it stands in fails."""


def needs_siblings(value: Any) -> bool:
    """Whether a constant refers to another input of its task."""
    if isinstance(value, str):
        return any(_steps(match[1])[:1] == ["inputs"] for match in _PLACEHOLDER.finditer(value))
    if isinstance(value, dict):
        return any(needs_siblings(item) for pair in value.items() for item in pair)
    return isinstance(value, list) and any(map(needs_siblings, value))


def resolved(value: Any, names: Mapping[str, str], sibling: Callable[[str], Any]) -> Any:
    """A constant with its placeholders replaced, in strings at any depth and in keys.

    Args:
        value: A JSON value out of the spec.
        names: What `$.pipeline_…` stand for.
        sibling: Gives the value of another input parameter of the task, or raises PlaceholderError.

    Raises:
        PlaceholderError: A placeholder that stands for nothing.
    """

    def look_up(steps: list[str]) -> str | None:
        if steps[:2] == ["inputs", "parameters"] and len(steps) == 3:
            return text(sibling(steps[2]))
        return _named(steps, names)

    if isinstance(value, str):
        return _replaced(value, look_up)
    if isinstance(value, dict):
        return {resolved(k, names, sibling): resolved(item, names, sibling) for k, item in value.items()}
    if isinstance(value, list):
        return [resolved(item, names, sibling) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Command:
    """Renders the command of one task.

    Attributes:
        executor_input: What `{{$}}` stands for.
        parameters: The input parameters with their defaults.
        names: What `$.pipeline_…` stand for.
        storage: The folder in which each bucket is a folder.
        workspace: The run's workspace.
    """

    executor_input: Mapping[str, Any]
    parameters: Mapping[str, Any]
    names: Mapping[str, str]
    storage: Path
    workspace: Path

    def rendered(self, arguments: Sequence[str]) -> tuple[str, ...]:
        """The arguments with placeholders replaced; IfPresent may add any number of them, Concat makes one.

        Raises:
            PlaceholderError: A placeholder names an input or output that there is not.
        """
        return tuple(part for argument in arguments for part in self._argument(argument))

    def text(self, argument: str) -> str:
        """A single string with placeholders replaced.

        Of a program's own text, which has several lines, what looks like a placeholder but names nothing is
        left alone, as by the backend (kubeflow/pipelines, backend/src/v2/component/launcher_v2.go,
        2026-08-21).
        """
        return _replaced(argument, self._look_up if "\n" not in argument else self._look_up_in_program)

    def _look_up_in_program(self, steps: list[str]) -> str | None:
        try:
            return self._look_up(steps)
        except PlaceholderError:
            return None

    def _argument(self, argument: str) -> list[str]:
        if argument.startswith(('{"IfPresent"', '{"Concat"')):
            try:
                structure = json.loads(argument)
            except json.JSONDecodeError:
                return [self.text(argument)]
            if isinstance(structure, dict) and len(structure) == 1:
                return self._expanded(structure)
        return [self.text(argument)]

    def _expanded(self, structure: Any) -> list[str]:
        match structure:
            case str():
                return [self.text(structure)]
            case list():
                return [part for item in structure for part in self._expanded(item)]
            case {"Concat": list(items)}:
                return ["".join(self._expanded(items))]
            case {"IfPresent": {"InputName": str(name), "Then": then, **rest}}:
                return self._expanded(then if self._is_present(name) else rest.get("Else", []))
            case None:
                return []
        raise PlaceholderError(f"{json.dumps(structure)[:80]}: expected a string, Concat or IfPresent")

    def _is_present(self, name: str) -> bool:
        if self.parameters.get(name) is not None:
            return True
        return bool(self.executor_input["inputs"]["artifacts"].get(name, {}).get("artifacts"))

    def _look_up(self, steps: list[str]) -> str | None:
        match steps:
            case []:
                return json.dumps(self.executor_input, ensure_ascii=False)
            case ["inputs", "parameters", name]:
                # An optional input that has no value and no default is empty.
                return text(_entry(self.parameters, name, "input parameter"))
            case ["inputs", "artifacts", name, *rest]:
                return self._artifact(self.executor_input["inputs"]["artifacts"], name, rest)
            case ["outputs", "artifacts", name, *rest]:
                return self._artifact(self.executor_input["outputs"]["artifacts"], name, rest)
            case ["outputs", "parameters", name, "output_file" | "outputFile"]:
                return _entry(self.executor_input["outputs"]["parameters"], name, "output parameter")[
                    "outputFile"
                ]
            case ["outputs", "output_file" | "outputFile" | "output_metadata_uri" | "outputMetadataUri"]:
                return self.executor_input["outputs"]["outputFile"]
        return _named(steps, self.names)

    def _artifact(self, artifacts: Mapping[str, Any], name: str, rest: list[str]) -> str | None:
        items = _entry(artifacts, name, "artifact")["artifacts"]
        if not rest:
            return json.dumps(items, ensure_ascii=False)
        if not items:
            raise PlaceholderError(f"artifact {name!r} is optional and was not given")
        artifact = items[0]
        match rest:
            case ["uri" | "name" as attribute]:
                return artifact[attribute]
            case ["path"]:
                if artifact["metadata"].get(IN_WORKSPACE) is True:
                    return str(in_workspace(self.workspace, self.storage, artifact["uri"]))
                return str(local_path(self.storage, artifact["uri"]))
            case ["metadata"]:
                return text(artifact["metadata"])
            case ["metadata" | "properties", key]:
                # What is not there is left alone: launchers compare with the placeholder itself
                # (google_cloud_pipeline_components 2.22.0, import_model_evaluation.py).
                return text(artifact["metadata"][key]) if key in artifact["metadata"] else None
        raise PlaceholderError(f"artifact {name!r} has no {'.'.join(rest)!r}")


def _entry(entries: Mapping[str, Any], name: str, kind: str) -> Any:
    if name not in entries:
        raise PlaceholderError(f"placeholder: no {kind} {name!r}{nearest(name, entries)}")
    return entries[name]


def _named(steps: list[str], names: Mapping[str, str]) -> str | None:
    if len(steps) == 1 and steps[0] in names:
        return names[steps[0]]
    if steps and (steps[0] in _OURS or steps[0].startswith("pipeline_")):
        raise PlaceholderError(f"unknown placeholder {'.'.join(steps)!r}{nearest(steps[0], names)}")
    return None


def _steps(expression: str) -> list[str]:
    steps = []
    position = 0
    while match := _STEP.match(expression, position):
        steps.append(next(group for group in match.groups() if group is not None))
        position = match.end()
    return steps if position == len(expression) else ["", expression]


def _replaced(value: str, look_up: Callable[[list[str]], str | None]) -> str:
    def replacement(match: re.Match[str]) -> str:
        steps = _steps(match[1])
        escapes = 0
        if len(steps) >= 2 and steps[-2] == "json_escape" and steps[-1].isdigit():
            escapes = min(int(steps[-1]), 8)
            steps = steps[:-2]
        found = look_up(steps)
        if found is None:
            return match[0]
        for _ in range(escapes):
            found = json.dumps(found, ensure_ascii=False)[1:-1]
        return found

    return _PLACEHOLDER.sub(replacement, value)
