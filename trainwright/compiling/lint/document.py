"""A compiled pipeline's file with the lines that its parts stand in."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainwright.compiling.lint.form import form_problem
from trainwright.compiling.spec import check_spec, given_parameters, platform_notes, read_text
from trainwright.errors import UserError


@dataclass(frozen=True)
class Document:
    """A file that was read.

    Attributes:
        path: The file.
        spec: Its PipelineSpec.
        documents: How many YAML documents it has.
        platform_problem: What its documents after the first need that Vertex AI has not; else None.
        given: Names of parameters whose values the file itself gives.
    """

    path: Path
    spec: dict[str, Any]
    documents: int
    platform_problem: str | None
    given: frozenset[str]
    _root: Any
    _prefix: tuple[str, ...]

    @functools.cached_property
    def form_problem(self) -> tuple[str, tuple[str, ...]] | None:
        """Where it is formed otherwise than a PipelineSpec, and the keys that lead there; else None."""
        return form_problem(self.spec)

    def line(self, location: Sequence[str]) -> int:
        """The line, from 1, of what the keys lead to, or of the nearest part around it."""
        node, line = self._root, 1
        for key in (*self._prefix, *location):
            found = _entry(node, key)
            if found is None:
                break
            mark, node = found
            line = mark.line + 1
        return line


class NoPipeline(UserError):
    """The file is something else than a compiled pipeline."""


def read_document(path: Path) -> Document:
    """Reads a file.

    Raises:
        NoPipeline: It is YAML, but no compiled pipeline: a KFP 1 component, a list, a Kubernetes manifest.
        UserError: It is absent, no text or no YAML.
    """
    import yaml

    text = read_text(path)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    documents: list[Any] = []
    root = None
    try:
        while loader.check_node():
            node = loader.get_node()
            root = node if root is None else root
            documents.append(loader.construct_document(node))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{path}: not YAML{where}: {problem}") from error
    finally:
        loader.dispose()
    first = documents[0] if documents else None
    if not isinstance(first, dict):
        raise NoPipeline(f"{path}: holds no mapping, expected a compiled pipeline")
    inner = first.get("pipelineSpec")
    spec = inner if isinstance(inner, dict) else first
    try:
        check_spec(path, spec)
    except UserError as error:
        raise NoPipeline(str(error)) from error
    prefix = ("pipelineSpec",) if spec is inner else ()
    problem = _platform_problem(path, documents[1:])
    return Document(path, spec, len(documents), problem, given_parameters(path, first), root, prefix)


def _platform_problem(path: Path, documents: list[Any]) -> str | None:
    try:
        platform_notes(path, documents)
    except UserError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def _entry(node: Any, key: str) -> tuple[Any, Any] | None:
    """The mark of a key or list item of a YAML node, and the node that it leads to."""
    if isinstance(node.value, list):
        for position, item in enumerate(node.value):
            if isinstance(item, tuple):
                if item[0].value == key:
                    return item[0].start_mark, item[1]
            elif str(position) == key:
                return item.start_mark, item
    return None
