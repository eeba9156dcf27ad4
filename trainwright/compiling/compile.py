"""Compiles pipelines and components: the same sources give the same bytes on every machine."""

import difflib
import itertools
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainwright.compiling.discover import Source, load_components, load_file, load_pipeline, pipeline_names
from trainwright.errors import UserError
from trainwright.nearest import nearest


@dataclass(frozen=True)
class Compiled:
    """What was compiled: the YAML of every file, by its path relative to the `compiled/` folder.

    `complete` says that these are all the pipelines and components of this library.
    """

    files: Mapping[Path, str]
    complete: bool


def compiled_folder(start: Path) -> Path:
    """Finds the `compiled/` folder that belongs to a folder.

    Args:
        start: Where the command runs.

    Returns:
        `compiled/` beside the nearest `pyproject.toml` with a `pipelines/` folder at or above `start`, else
        the nearest `compiled/` there is, else `start / "compiled"`.
    """
    folders = (start, *start.parents)
    for folder in folders:
        if (folder / "pyproject.toml").is_file() and (folder / "pipelines").is_dir():
            return folder / "compiled"
    return next(
        (folder / "compiled" for folder in folders if (folder / "compiled").is_dir()), start / "compiled"
    )


def compile_all(names: Sequence[str] = ()) -> Compiled:
    """Compiles pipelines and components.

    Args:
        names: Names of this library's pipelines or components, or paths of Python files with pipelines of
            your own. Without any, every pipeline and component of this library.

    Raises:
        UserError: A name is unknown, or a pipeline cannot be compiled.
    """
    sources = _every_source() if not names else _named_sources(names)
    files: dict[Path, str] = {}
    for source in sources:
        if source.target in files:
            raise UserError(f"{source.target}: two sources compile to it, expected one named {source.name!r}")
        files[source.target] = render(source)
    return Compiled(files, complete=not names)


def render(source: Source) -> str:
    """Compiles one pipeline or component to the text of its YAML, as KFP writes it.

    Raises:
        UserError: KFP refuses it.
    """
    from kfp.compiler import Compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compiled.yaml"
        try:
            Compiler().compile(source.component, str(path))
        except (ValueError, TypeError, RuntimeError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(f"{source.name}: cannot be compiled: {first}") from error
        # KFP writes in the locale's encoding and line ends, so reads as such.
        return _with_sorted_header(path.read_text(), source.component.description)


def _with_sorted_header(text: str, description: str | None) -> str:
    """Writes the comment at the top anew: KFP shows an object's default in it with the keys in any order.

    The order is that of a protobuf map, which differs from process to process (kfp 2.17.0,
    `compiler/pipeline_spec_builder.py`, `extract_comments_from_pipeline_spec`). The document is sorted.
    """
    import yaml
    from kfp.compiler.pipeline_spec_builder import extract_comments_from_pipeline_spec

    lines = text.splitlines(keepends=True)
    body = "".join(itertools.dropwhile(lambda line: line.startswith("#"), lines))
    spec = next(yaml.load_all(body, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    return f"{extract_comments_from_pipeline_spec(spec, description)}{body}"


def is_own(folder: Path) -> bool:
    """Whether a `compiled/` folder is this library's, not that of a project with pipelines of its own."""
    import trainwright.pipelines

    beside = folder.parent / "pipelines"
    return any(beside.is_dir() and beside.samefile(path) for path in trainwright.pipelines.__path__)


def write(compiled: Compiled, folder: Path, *, owned: bool) -> tuple[list[Path], list[Path]]:
    """Writes what was compiled, each file in one step, and removes what is stale.

    Args:
        compiled: The files.
        folder: The `compiled/` folder.
        owned: Whether the folder holds nothing but this library's pipelines and components. Then, when those
            that were compiled are complete, every other YAML file in it is stale.

    Returns:
        The paths, relative to the folder, of the files that changed and of those that were removed.
    """
    changed: list[Path] = []
    for relative, text in compiled.files.items():
        target = folder / relative
        if _content(target) == text:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        unfinished.replace(target)
        changed.append(relative)
    stale = _stale(compiled, folder) if owned else []
    for relative in stale:
        (folder / relative).unlink()
        if not any((folder / relative).parent.iterdir()):
            (folder / relative).parent.rmdir()
    return changed, stale


def differences(compiled: Compiled, folder: Path, *, owned: bool) -> list[str]:
    """Compares what was compiled with what is there.

    Args:
        compiled: What should be there.
        folder: The `compiled/` folder.
        owned: As for `write`.

    Returns:
        The unified diff of every file that is missing, stale or different, in order of path.
    """
    paths = sorted({*compiled.files, *(_stale(compiled, folder) if owned else ())})
    diffs = [
        _difference(relative, compiled.files.get(relative), _content(folder / relative)) for relative in paths
    ]
    return [diff for diff in diffs if diff]


def _difference(relative: Path, expected: str | None, found: str | None) -> str:
    if expected == found:
        return ""
    name = f"compiled/{relative.as_posix()}"
    lines = difflib.unified_diff(
        (found or "").splitlines(keepends=True),
        (expected or "").splitlines(keepends=True),
        fromfile=name if found is not None else "/dev/null",
        tofile=f"{name} (compiled now)" if expected is not None else "/dev/null",
    )
    title = "missing" if found is None else "stale" if expected is None else "not current"
    body = "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )
    return f"{title}: {name}\n{body}"


def _content(path: Path) -> str | None:
    """The file's text with its line ends as they are, or None; bytes that are no UTF-8 match no text."""
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _stale(compiled: Compiled, folder: Path) -> list[Path]:
    if not compiled.complete:
        return []
    found = (path for part in ("pipelines", "components") for path in (folder / part).rglob("*.yaml"))
    return sorted(
        path.relative_to(folder) for path in found if path.relative_to(folder) not in compiled.files
    )


def _every_source() -> list[Source]:
    return [*(load_pipeline(name) for name in pipeline_names()), *load_components()]


def _named_sources(names: Iterable[str]) -> list[Source]:
    sources: list[Source] = []
    components: dict[str, Source] | None = None
    pipelines = pipeline_names()
    for name in dict.fromkeys(names):
        if name.endswith(".py"):
            sources += load_file(Path(name))
            continue
        if name in pipelines:
            sources.append(load_pipeline(name))
            continue
        if components is None:
            components = {source.name: source for source in load_components()}
        if name not in components:
            raise UserError(
                f"{name}: unknown pipeline or component, {nearest(name, [*pipelines, *components])}"
            )
        sources.append(components[name])
    return sources
