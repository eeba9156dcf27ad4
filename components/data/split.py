"""One dataset to three: train, validation and test."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from trainwright.authoring.images import DUCKDB, PYTHON_IMAGE

# ruff: noqa: S608 - SQL holds only our own expressions, quoted names and checked numbers


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[DUCKDB])
def split(
    dataset: Input[Dataset],
    train: Output[Dataset],
    validation: Output[Dataset],
    test: Output[Dataset],
    key: str = "",
    method: str = "hash",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    label: str = "",
    time_column: str = "",
) -> None:
    """Splits rows by a hash of a key, by a hash within each label value, or by time: always the same way.

    The hash is the first 8 hexadecimal digits of the MD5 of the key as UTF-8 text, modulo 10,000: the same
    number in Python, DuckDB and BigQuery. Numbers from 0 on are test, the next validation, all others train:
    a row keeps its side when the data grows, and a test row stays one when the share for validation changes.

    Args:
        dataset: Parquet, one file or a folder of files.
        train: Parquet; the rows that are in neither of the other two.
        validation: Parquet; about `validation_fraction` of the keys.
        test: Parquet; about `test_fraction` of the keys.
        key: Column that identifies an entity (customer, device): all its rows fall on one side. Empty: the
            whole row is the key, as JSON with the columns in their order; equal rows stay together, but any
            change to a row or to the columns may move it. Not used by "time".
        method: "hash"; "stratified": the hash's order within each value of `label`, so that every side has
            the same share of each value, but rows may change sides when the data grows; "time": the oldest
            rows are train, the newest test, and rows of the same time stay together.
        validation_fraction: Above 0, to 4 decimals; with `test_fraction` below 1.
        test_fraction: Above 0, to 4 decimals; with `validation_fraction` below 1.
        label: Column whose values "stratified" keeps in proportion; a key has one value of it.
        time_column: Column of dates, timestamps or numbers, for "time".

    Raises:
        ValueError: A column is missing or has nulls, a fraction or the method is not as above, a key has more
            than one label, or a side would be empty.
    """
    import difflib
    import glob
    from pathlib import Path

    import duckdb

    files = glob.escape(dataset.path) + ("/*.parquet" if Path(dataset.path).is_dir() else "")
    connection = duckdb.connect()
    connection.read_parquet(files, hive_partitioning=False).create_view("data")
    schema = {name: kind for name, kind, *_ in connection.execute("DESCRIBE FROM data").fetchall()}

    def column(argument: str, name: str) -> str:
        """The column's name in quotes, once it is known to be there and without nulls."""
        if name not in schema:
            close = (difflib.get_close_matches(name, schema, n=1, cutoff=0) or [""])[0]
            raise ValueError(f"{argument}: the dataset has no column {name!r}; nearest: {close!r}")
        quoted = '"' + name.replace('"', '""') + '"'
        [(nulls,)] = connection.execute(f"SELECT count(*) - count({quoted}) FROM data").fetchall()
        if nulls:
            raise ValueError(f"{argument}: {nulls:,} rows have no {name!r}; expected a value in every row")
        return quoted

    held = round(10_000 * test_fraction), round(10_000 * (test_fraction + validation_fraction))
    if not 0 < held[0] < held[1] < 10_000:
        fractions = f"validation_fraction {validation_fraction}, test_fraction {test_fraction}"
        raise ValueError(f"{fractions}: expected both above 0 and their sum below 1")
    row = ", ".join(
        "'" + name.replace("'", "''") + "': \"" + name.replace('"', '""') + '"' for name in schema
    )
    entity = f"{column('key', key)}::VARCHAR" if key and method != "time" else f"to_json({{{row}}})::VARCHAR"
    number = f"('0x' || left(md5({entity}), 8))::BIGINT"
    if method == "hash":
        place = f"{number} % 10000"
    elif method == "stratified":
        of = column("label", label)
        mixed = f"SELECT {entity} FROM data GROUP BY 1 HAVING count(DISTINCT {of}) > 1 ORDER BY 1 LIMIT 1"
        for (twice,) in connection.execute(mixed).fetchall():
            raise ValueError(f"key: {twice!r} has more than one {label!r}; expected one per key")
        rank = f"dense_rank() OVER (PARTITION BY {of} ORDER BY {number}, {entity})"
        place = f"10000 * ({rank} - 0.5) / count(DISTINCT {entity}) OVER (PARTITION BY {of})"
    elif method == "time":
        of = column("time_column", time_column)
        if schema[time_column] in ("VARCHAR", "BOOLEAN"):
            raise ValueError(
                f"time_column: {time_column!r} is {schema[time_column]}; expected dates or numbers"
            )
        place = f"10000 * (rank() OVER (ORDER BY {of} DESC) - 1) / count(*) OVER ()"
    else:
        raise ValueError(f"method {method!r}: expected 'hash', 'stratified' or 'time'")

    # Names that no column of the dataset has: longer than any.
    place_name, row_name = (name + "_" * max(map(len, schema)) for name in ("place", "nr"))
    placed = f"SELECT *, {place} AS {place_name}, row_number() OVER () AS {row_name} FROM data"
    sides = {"test": (test, 0, held[0]), "validation": (validation, *held), "train": (train, held[1], 10_000)}
    for side, (output, low, high) in sides.items():
        Path(output.path).mkdir(parents=True, exist_ok=True)
        target = f"{output.path}/part-00000.parquet".replace("'", "''")
        chosen = f"SELECT * EXCLUDE ({place_name}, {row_name}) FROM ({placed}) "
        chosen += f"WHERE {place_name} >= {low} AND {place_name} < {high} ORDER BY {row_name}"
        [(rows,)] = connection.execute(f"COPY ({chosen}) TO '{target}' (FORMAT parquet)").fetchall()
        if not rows:
            raise ValueError(f"{side}: no row falls on this side; expected at least one (method {method!r})")
        output.metadata.update(rows=rows, columns=list(schema), schema=schema, format="parquet")
