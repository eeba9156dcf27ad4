"""Files of one format to one Parquet dataset."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from trainwright.authoring.images import DUCKDB, PYTHON_IMAGE

# ruff: noqa: PTH207, S608 - Path.glob takes no absolute pattern; SQL holds our own readers and quoted text


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[DUCKDB])
def ingest(
    dataset: Output[Dataset],
    source: str,
    source_version: str = "",
    file_format: str = "auto",
    delimiter: str = ",",
) -> None:
    """Reads CSV, JSON Lines or Parquet files into one Parquet dataset with its schema.

    Args:
        dataset: Parquet, a folder with `part-00000.parquet`; rows in the order of the files' paths. Metadata:
            `rows`, `columns`, `schema` (column to DuckDB type), `format`, `source`, `source_version` and
            `files` (how many).
        source: A path or a gs:// URI of a file, a folder (all files below it) or a glob (`*`, `?`, `[..]`,
            `**`). Files whose name starts with `_` or `.` are passed over, as Spark and Hive do;
            what a folder's name says (`year=2026`) is no column.
        source_version: What the files hold, as `fingerprint_source` says it. It is only recorded; with it, a
            cached result is reused for the same files alone.
        file_format: "csv" (UTF-8; the first line names the columns; integers, numbers, dates and timestamps
            are told from text by all rows), "jsonl" (one object a line), "parquet", or "auto": by the suffix,
            .csv, .jsonl, .ndjson, .json (these also with .gz) or .parquet.
        delimiter: What stands between the fields of a CSV file.

    Raises:
        ValueError: `source` names no file; a file is empty, unreadable, of another format or with other
            columns than the first (JSON Lines may leave columns out); no file has a row. The message names
            the file.
    """
    import glob
    import re
    from pathlib import Path

    import duckdb
    from kfp.dsl import Artifact

    suffixes = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
    root = Path(Artifact(uri=source).path)
    found = [root] if root.exists() else [Path(name) for name in glob.glob(str(root), recursive=True)]
    paths = {path for item in found for path in (item.rglob("*") if item.is_dir() else [item])}
    files = sorted(path for path in paths if path.is_file() and path.name[0] not in "._")
    if not files:
        raise ValueError(f"source {source}: no file there")
    formats = [file_format] * len(files)
    if file_format == "auto":
        stems = [Path(file.name.lower().removesuffix(".gz")) for file in files]
        formats = [suffixes.get(stem.suffix, stem.suffix) for stem in stems]
    for file, kind in zip(files, formats, strict=True):
        if kind not in suffixes.values():
            raise ValueError(f"{file}: unknown format {kind!r}; expected one of {', '.join(suffixes)}")
        if kind != formats[0]:
            raise ValueError(f"{file} is {kind}, but {files[0]} is {formats[0]}; expected one format")
        if not file.stat().st_size:
            raise ValueError(f"{file}: empty file (0 bytes)")

    # Of a CSV file only the types are guessed: a guessed layout passes over the lines that do not fit it.
    quoted = delimiter.replace("'", "''")
    layout = f"header=true, skip=0, delim='{quoted}', quote='\"', escape='\"', comment=''"
    # Without BOOLEAN: "yes" and "no" would become true and false. Without TIME: it is no feature.
    layout += ", auto_type_candidates=['BIGINT', 'DOUBLE', 'DATE', 'TIMESTAMP', 'VARCHAR']"
    together = "union_by_name=true, hive_partitioning=false"
    reader = {
        "csv": f"read_csv($files, {layout}, sample_size=-1, {together})",
        "jsonl": f"read_ndjson($files, records=true, sample_size=-1, {together})",
        "parquet": f"read_parquet($files, {together})",
    }[formats[0]]
    Path(dataset.path).mkdir(parents=True, exist_ok=True)
    target = f"{dataset.path}/part-00000.parquet".replace("'", "''")
    connection = duckdb.connect()
    expected: list[str] = []
    names = [glob.escape(str(file)) for file in files]
    try:
        for file, name in zip(files, names, strict=True):
            rows = connection.execute(f"SELECT column_name FROM (DESCRIBE FROM {reader})", {"files": [name]})
            columns = sorted(column for (column,) in rows.fetchall())
            expected = expected or columns
            if columns != expected and formats[0] != "jsonl":
                other = ", ".join(sorted(set(columns) ^ set(expected)))
                raise ValueError(f"{file}: other columns than {files[0]}; in only one of the two: {other}")
        connection.execute(f"COPY (FROM {reader}) TO '{target}' (FORMAT parquet)", {"files": names})
    except duckdb.Error as error:
        reason = " ".join(re.split("Possible|LINE 1:", str(error))[0].split())
        if "sniffing" in reason:
            reason = f"rows of different lengths, fields not separated by {delimiter!r}, or no UTF-8 text"
        raise ValueError(f"{file}: cannot be read as {formats[0]}: {reason}") from None
    written = f"read_parquet('{target}', hive_partitioning=false)"
    [(rows,)] = connection.execute(f"SELECT count(*) FROM {written}").fetchall()
    if not rows:
        raise ValueError(f"{source}: no row in {', '.join(file.name for file in files[:5])}")
    described = connection.execute(f"DESCRIBE FROM {written}").fetchall()
    schema = {column: kind for column, kind, *_ in described}
    origin = {"source": source, "source_version": source_version, "files": len(files)}
    dataset.metadata.update(rows=rows, columns=list(schema), schema=schema, format="parquet", **origin)
