"""What a run came to: metrics, outputs, registered models, reports; as text and as JSON."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.cli.output import duration

if TYPE_CHECKING:
    from trainwright.vertex.runs import Artifact, Run, Task

_METRICS = ("system.Metrics", "system.ClassificationMetrics")
_MODEL = "google.VertexModel"
_HTML = "system.HTML"
# More columns than this make a table too wide for most terminals.
_COLUMNS = 4
_SHORT = 120


def print_summary(run: "Run", *, state: Path | None) -> None:
    """Prints what a run that succeeded came to.

    Args:
        run: The run as it ended.
        state: The state folder of the local Vertex AI that ran it, whose objects are plain files; else None.
    """
    _print_metrics(run)
    values = list(_values(run))
    if values:
        _section("outputs", values)
    models = [
        (task.path, _model(artifact)) for task, _, artifact in _artifacts(run) if artifact.schema == _MODEL
    ]
    if models:
        _section("models", [(path, model) for path, model in models if model])
    reports = [
        (task.path, str(local_path(artifact.uri, state)))
        for task, _, artifact in _artifacts(run)
        if artifact.schema == _HTML
    ]
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
    """Prints a table of metrics: a row for each metric, a column for each task that has some."""
    columns: dict[str, dict[str, str]] = {}
    for task, _, artifact in _artifacts(run):
        if artifact.schema in _METRICS:
            scalars = {name: _text(value) for name, value in artifact.metadata.items() if _is_scalar(value)}
            columns.setdefault(task.path, {}).update(scalars)
    columns = {path: found for path, found in columns.items() if found}
    if len(columns) > _COLUMNS:
        rows = [
            (f"{path}  {name}", value) for path, found in columns.items() for name, value in found.items()
        ]
        _section("metrics", rows)
    elif columns:
        short = [path.rsplit("/", 1)[-1] for path in columns]
        titles = short if len(set(short)) == len(short) else list(columns)
        names = sorted({name for found in columns.values() for name in found}, key=str.casefold)
        cells = [[f"  {name}", *(found.get(name, "") for found in columns.values())] for name in names]
        _grid([["metrics", *titles], *cells])


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


def _model(artifact: "Artifact") -> str:
    name = str(artifact.metadata.get("resourceName") or artifact.uri.partition("/v1/")[2] or artifact.uri)
    version = artifact.metadata.get("modelVersionId") or artifact.metadata.get("versionId")
    return name if "@" in name or not version else f"{name}@{version}"


def _json_output(value: Any) -> Any:
    if not _is_artifact(value):
        return value
    if isinstance(value, tuple):
        return [_json_output(item) for item in value]
    return {"uri": value.uri, "metadata": dict(value.metadata), "schema": value.schema}


def _is_artifact(value: Any) -> bool:
    from trainwright.vertex.runs import Artifact

    return isinstance(value, (Artifact, tuple))


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
        sys.stdout.write(f"  {name:<{width}}  {value}\n")
