"""The version of files: an ingest cached by it runs again when the files at the same address changed."""

from kfp import dsl

from trainwright.authoring.images import PYTHON_IMAGE

# ruff: noqa: PTH207 - Path.glob takes no absolute pattern


@dsl.component(base_image=PYTHON_IMAGE)
def fingerprint_source(source: str, read_contents: bool = True) -> str:
    """Hashes the names, sizes and contents of the files that `source` names.

    A pipeline's cache compares parameters and input artifacts, never the files that a parameter names. Run
    this step without caching and hand its result to `ingest` as `source_version`: `ingest` is then served
    from the cache as long as the files are the same, and runs again when one was added, removed or changed.

    Args:
        source: A path or a gs:// URI of a file, a folder (all files below it) or a glob (`*`, `?`, `[..]`,
            `**`). Files whose name starts with `_` or `.` are passed over, as Spark and Hive do.
        read_contents: False hashes each file's time of last change instead of its contents: for sources too
            large to be read twice. The same bytes uploaded again then count as a change.

    Returns:
        64 hexadecimal digits (SHA-256).

    Raises:
        ValueError: `source` names no file.
    """
    import glob
    import hashlib
    from pathlib import Path

    from kfp.dsl import Artifact

    root = Path(Artifact(uri=source).path)
    found = [root] if root.exists() else [Path(name) for name in glob.glob(str(root), recursive=True)]
    paths = {path for item in found for path in (item.rglob("*") if item.is_dir() else [item])}
    files = sorted(path for path in paths if path.is_file() and path.name[0] not in "._")
    if not files:
        raise ValueError(f"source {source}: no file there")
    # Relative to the folder that holds them all: a mount point or a moved folder does not change the version.
    folder = max(set.intersection(*[set(file.parents) for file in files]), key=lambda path: len(path.parts))
    digest = hashlib.sha256()
    for file in files:
        version = str(file.stat().st_mtime_ns)
        if read_contents:
            with file.open("rb") as stream:
                version = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0{version}\n".encode())
    return digest.hexdigest()
