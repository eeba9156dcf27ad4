"""What a run came to: metrics, outputs, registered models, reports; as text and as JSON."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.cli.output import duration

if TYPE_CHECKING:
    from trainwright.vertex.models import Version
    from trainwright.vertex.runs import Artifact, Run, Task

_METRICS = ("system.Metrics", "system.ClassificationMetrics")
_HTML = "system.HTML"
# More columns than this make a table too wide for most terminals.
_COLUMNS = 4
_SHORT = 120


def print_summary(run: "Run", *, state: Path | None, versions: "Mapping[str, Version] | None" = None) -> None:
    """Prints what a run that succeeded came to: metrics, values, registered models, reports.

    Args:
        run: The run as it ended.
        state: The state folder of the local Vertex AI that ran it, whose objects are plain files; else None.
        versions: What the registry says of the model versions that the run put there, by resource name.
    """
    from trainwright.vertex.models import MODEL_SCHEMA, version_name

    _print_metrics(run)
    values = list(_values(run))
    if values:
        _section("outputs", values)
    models: dict[str, str] = {}
    reports = []
    for task, _, artifact in _artifacts(run):
        if artifact.schema == MODEL_SCHEMA:
            name = version_name(artifact)
            models[name] = _model(name, (versions or {}).get(name))
        elif artifact.schema == _HTML:
            reports.append((task.title or task.path, str(local_path(artifact.uri, state))))
    if models:
        _section("models", list(models.items()))
    if reports:
        _section("reports", reports)


def headline(run: "Run") -> str:
    """One line about a run: its id, state, duration and how many tasks came from the cache."""
    leaves = [task for task in run.tasks if not task.is_group]
    cached = sum(task.cached for task in leaves)
    state = run.state.removeprefix("PIPELINE_STATE_")
    took = f" in {duration(run.seconds)}" if run.seconds is not None else ""
    served = f", {cached} from the cache" if cached else ""
    return f"run {run.id} {state}{took}: {len(leaves)} task{'s' * (len(leaves) != 1)}{served}"


def as_json(run: "Run", error: str | None) -> dict[str, Any]:
    """A run as the JSON object of `--json`."""
    return {
        "name": run.name,
        "state": run.state,
        "outputs": {name: _json_output(value) for name, value in run.outputs.items()},
        "error": error,
        "tasks": [
            {
                "name": task.name,
                "path": task.path,
                "state": task.state,
                "error": task.error or None,
                "duration_seconds": None if task.seconds is None else round(task.seconds, 3),
                "cached": task.cached,
            }
            for task in run.tasks
        ],
    }


def local_path(uri: str, state: Path | None) -> str | Path:
    """The file that a `gs://` URI is in a local Vertex AI's storage; the URI itself where it is none."""
    if state is None or not uri.startswith("gs://"):
        return uri
    path = state / "storage" / uri.removeprefix("gs://")
    return path if path.exists() else uri


def _print_metrics(run: "Run") -> None:
    """Prints tables of metrics: a row for each metric, a column for each task that has some.

    Tasks with metrics of the same names stand side by side. What the pipeline itself puts out comes first,
    under the name of that output.
    """
    columns: dict[str, dict[str, str]] = {}
    titles: dict[str, str] = {}
    headings: dict[str, str] = {}
    outputs = {value.uri: name for name, value in run.outputs.items() if isinstance(value, _artifact_type())}
    for task, _, artifact in _artifacts(run):
        if artifact.schema not in _METRICS:
            continue
        scalars = {name: _text(value) for name, value in artifact.metadata.items() if _is_scalar(value)}
        if scalars:
            columns.setdefault(task.path, {}).update(scalars)
            titles[task.path] = task.title or task.name
            if artifact.uri in outputs:
                headings.setdefault(task.path, outputs[artifact.uri].replace("_", " "))
    if len(columns) > _COLUMNS:
        rows = [
            (f"{path}  {name}", value) for path, found in columns.items() for name, value in found.items()
        ]
        _section("metrics", rows)
        return
    for paths in _groups(
        {path: columns[path] for path in sorted(columns, key=lambda path: path not in headings)}
    ):
        short = [titles[path] for path in paths]
        names = sorted({name for path in paths for name in columns[path]}, key=str.casefold)
        cells = [[f"  {name}", *(columns[path].get(name, "") for path in paths)] for name in names]
        heading = headings.get(paths[0], "metrics")
        _grid([[heading, *(short if len(set(short)) == len(short) else paths)], *cells])


def _groups(columns: "Mapping[str, Mapping[str, str]]") -> list[list[str]]:
    """The columns, those together that have the name of a metric in common with the first of them."""
    groups: list[list[str]] = []
    for path, found in columns.items():
        group = next((group for group in groups if columns[group[0]].keys() & found.keys()), None)
        if group is None:
            groups.append([path])
        else:
            group.append(path)
    return groups


def _grid(rows: list[list[str]]) -> None:
    """Prints rows of which the first column is a name and the others are numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sys.stdout.write("\n")
    for name, *cells in rows:
        numbers = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        sys.stdout.write("  ".join([f"{name:<{widths[0]}}", *numbers]).rstrip() + "\n")


def _values(run: "Run") -> Iterator[tuple[str, str]]:
    """The pipeline's output values; of a pipeline without any, the short texts that its tasks put out."""
    values = [(name, _text(value)) for name, value in run.outputs.items() if not _is_artifact(value)]
    yield from values
    if values:
        return
    for task in run.tasks:
        for name, value in task.parameters.items():
            if isinstance(value, str) and 0 < len(value) <= _SHORT and not task.is_group:
                yield f"{task.path}  {name}", value


def _artifacts(run: "Run") -> "Iterator[tuple[Task, str, Artifact]]":
    """The artifacts of the tasks themselves: what a group puts out is a task's already."""
    for task in run.tasks:
        if task.is_group:
            continue
        for name, artifacts in task.artifacts.items():
            for artifact in artifacts:
                yield task, name, artifact


def _model(name: str, version: "Version | None") -> str:
    if version is None:
        return ""
    use = "the default version" if version.is_default else "not the default version"
    return f"{version.model}, version {version.number}: {use}"


def _json_output(value: Any) -> Any:
    if not _is_artifact(value):
        return value
    if isinstance(value, tuple):
        return [_json_output(item) for item in value]
    return {"uri": value.uri, "metadata": dict(value.metadata), "schema": value.schema}


def _is_artifact(value: Any) -> bool:
    return isinstance(value, (_artifact_type(), tuple))


def _artifact_type() -> "type[Artifact]":
    from trainwright.vertex.runs import Artifact

    return Artifact


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _section(title: str, rows: "list[tuple[str, str]]") -> None:
    width = max(len(name) for name, _ in rows)
    sys.stdout.write(f"\n{title}\n")
    for name, value in rows:
        sys.stdout.write(f"  {name:<{width}}  {value}".rstrip() + "\n")
