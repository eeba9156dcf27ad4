"""The form of a PipelineSpec, as far as the rules rely on it: what is a mapping, a list, text.

After kfp's `pipeline_spec.proto` (PipelineSpec 2.1, kfp 2.17.0). Its own reader is not used: to import kfp
takes longer than to look through hundreds of files, and it stops at fields that are newer than itself.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Each:
    """A mapping with any keys, whose values have one form."""

    form: Any


_ARTIFACT = {"artifactType": {"schemaTitle": str}}
_DEFINITIONS = {"parameters": Each({"parameterType": str}), "artifacts": Each(_ARTIFACT)}
_SOURCE = {
    "runtimeValue": {"constantValue": {}},
    "componentInputParameter": str,
    "taskOutputParameter": {"producerTask": str},
    "taskOutputArtifact": {"producerTask": str},
}
_ITERATOR = {"itemInput": str, "items": {"inputParameter": str}}
_TASK = {
    "componentRef": {"name": str},
    "inputs": {"parameters": Each(_SOURCE), "artifacts": Each(_SOURCE)},
    "dependentTasks": [str],
    "cachingOptions": {},
    "triggerPolicy": {"strategy": str, "condition": str},
    "retryPolicy": {},
    "parameterIterator": _ITERATOR,
    "artifactIterator": _ITERATOR,
}
_COMPONENT = {
    "executorLabel": str,
    "dag": {"tasks": Each(_TASK)},
    "inputDefinitions": _DEFINITIONS,
    "outputDefinitions": _DEFINITIONS,
}
_CONTAINER = {
    "image": str,
    "command": [str],
    "args": [object],  # text, and objects in files of kfp 2.0's first versions
    "env": [{"name": str}],
    "resources": {"accelerator": {}},
}
_SPEC = {
    "pipelineInfo": {"name": str},
    "root": _COMPONENT,
    "components": Each(_COMPONENT),
    "deploymentSpec": {"executors": Each({"container": _CONTAINER, "importer": {"artifactUri": {}}})},
}


def form_problem(spec: Any) -> tuple[str, tuple[str, ...]] | None:
    """Says where a spec is formed otherwise than a PipelineSpec, and the keys that lead there; else None."""
    return _problem(spec, _SPEC, ())


def _problem(value: Any, form: Any, location: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
    kind, expected = _expected(form)
    if not isinstance(value, kind):
        return f"{'.'.join(location)}: found {_kind(value)}, expected {expected}", location
    inside: list[tuple[Any, Any, str]] = []
    if isinstance(form, Each):
        inside = [(item, form.form, str(key)) for key, item in value.items()]
    elif isinstance(form, dict):
        # A field that is null is as if it were not there.
        inside = [(value[key], each, key) for key, each in form.items() if value.get(key) is not None]
    elif isinstance(form, list):
        inside = [(item, form[0], str(position)) for position, item in enumerate(value)]
    for item, each, key in inside:
        found = _problem(item, each, (*location, key))
        if found is not None:
            return found
    return None


def _expected(form: Any) -> tuple[type[Any], str]:
    if isinstance(form, dict | Each):
        return dict, "a mapping"
    if isinstance(form, list):
        return list, "a list"
    return (str, "text") if form is str else (object, "anything")


def _kind(value: Any) -> str:
    names: dict[type, str] = {dict: "a mapping", list: "a list", str: "text", type(None): "nothing"}
    return names.get(type(value), f"{value!r}")
