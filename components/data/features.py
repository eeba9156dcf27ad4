"""Raw columns to numbers, fitted on the train rows alone and written down as SQL."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from trainwright.authoring.images import DUCKDB, PYTHON_IMAGE

# ruff: noqa: B006, C901, S608 - KFP reads the default; a component is one function; SQL quotes what it holds


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[DUCKDB])
def prepare_features(
    train: Input[Dataset],
    validation: Input[Dataset],
    train_features: Output[Dataset],
    validation_features: Output[Dataset],
    transform: Output[Artifact],
    label: str,
    positive_class: str = "",
    exclude: list = [],
    max_categories: int = 20,
    min_category_rows: int = 10,
    scale: bool = True,
) -> None:
    """Imputes, encodes and scales: `SELECT` of the transform's expressions is all there is to it.

    - Numbers and booleans: null, NaN and infinity become the median of the train rows, and where those have
      any, a column `<name> is missing` says so; then minus the mean, divided by the standard deviation. Dates
      and timestamps are taken as days since 1970.
    - Text: one column of 0 and 1 for each of the most frequent values (`<name>=<value>`), one for all that
      are rarer or unseen (`<name>=(other)`), one for null (`<name>=(missing)`), the last two where the train
      rows have such. So a column with many values (a postal code) gives at most `max_categories` + 2 columns.
    - Left out: what tells no train rows apart: constant columns, and text whose values are all rare (an id).

    Args:
        train: Parquet with the raw columns; everything is fitted on these rows alone.
        validation: Parquet with at least the same columns.
        train_features: Parquet: the transform's columns, all DOUBLE and never null, then `label`, INTEGER: 1
            for the positive class, else 0. One row for each train row, in the same order.
        validation_features: The same of `validation`.
        transform: JSON: `version` (1), `label`, `positive_class`, `classes` (as text: negative, positive),
            `columns` (each `name` and `expression`, DuckDB SQL over raw columns), `left_out` (raw columns),
            `fitted_on_rows`. Names hold none of [, ], < and >: XGBoost refuses three of them.
        label: Target column with exactly two values, none null.
        positive_class: The value that is predicted, as text. Empty: the greater of the two.
        exclude: Columns that are no features: keys, times, what is known only after the fact.
        max_categories: At most so many values of a text column get a column of their own; at least 1.
        min_category_rows: Values in fewer train rows than this are rare.
        scale: False leaves the numbers as they are (trees do not need it).

    Raises:
        ValueError: A column is missing or of a kind that is no feature (list, struct, binary, time of day),
            the label has nulls or not two values, `positive_class` is none of them, or no feature remains.
    """
    import difflib
    import glob
    import json
    import re
    from pathlib import Path

    import duckdb

    def identifier(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def text(value: str) -> str:
        return "'" + value.replace("'", "''") + "'"

    def number(value: float) -> str:
        digits = repr(value)  # in SQL, 0.1 is a DECIMAL and 0.1e0 a DOUBLE
        return f"({digits})" if "e" in digits else f"({digits}e0)"

    connection = duckdb.connect()
    # One thread: the order in which floating-point numbers are added up decides their last digits.
    connection.execute("SET threads = 1")
    schemas = {}
    for view, dataset in {"train": train, "validation": validation}.items():
        files = glob.escape(dataset.path) + ("/*.parquet" if Path(dataset.path).is_dir() else "")
        connection.read_parquet(files, hive_partitioning=False).create_view(view)
        described = connection.execute(f"DESCRIBE FROM {view}").fetchall()
        schemas[view] = {name: kind for name, kind, *_ in described}
    schema = schemas["train"]
    for argument, name in [("label", label), *(("exclude", name) for name in exclude)]:
        if name not in schema:
            close = (difflib.get_close_matches(name, schema, n=1, cutoff=0) or [""])[0]
            raise ValueError(f"{argument}: the train rows have no column {name!r}; nearest: {close!r}")
    if missing := [name for name in schema if name not in schemas["validation"]]:
        raise ValueError(f"validation: there is no column {missing[0]!r}, which the train rows have")
    target = f"{identifier(label)}::VARCHAR"
    query = f"SELECT {target} FROM train GROUP BY 1 ORDER BY min({identifier(label)})"
    classes = [value for (value,) in connection.execute(query).fetchall()]
    if len(classes) != 2 or None in classes:
        raise ValueError(f"label: {label!r} has {str(classes[:5])[1:-1]} in train; expected two, none null")
    if positive_class and positive_class not in classes:
        raise ValueError(f"positive_class: {positive_class!r} is not in {label!r}; expected one of {classes}")
    positive = positive_class or classes[-1]
    classes.sort(key=lambda value: value == positive)
    known = f"{target} IN ({text(classes[0])}, {text(classes[1])})"
    [(strange,)] = connection.execute(f"SELECT count(*) FROM validation WHERE {known} IS NOT TRUE").fetchall()
    if strange:
        raise ValueError(f"validation: {strange:,} rows have a {label!r} that is neither of {classes}")

    columns: list[dict] = []
    taken = {"label"}

    def add(name: str, expression: str) -> None:
        name = name.translate(str.maketrans("[]<>", "()()"))
        while name.lower() in taken:
            name += "'"
        taken.add(name.lower())
        columns.append({"name": name, "expression": expression})

    def add_number(name: str, raw: str) -> None:
        finite = f"CASE WHEN isfinite({raw}) THEN {raw} END"
        query = "SELECT median(x), count(*) - count(x), min(x) < max(x) FROM "
        [(median, nulls, varies)] = connection.execute(
            f"{query} (SELECT {finite} AS x FROM train)"
        ).fetchall()
        if varies:
            filled = f"CASE WHEN isfinite({raw}) THEN {raw} ELSE {number(median)} END"
            query = f"SELECT avg({filled}), stddev_pop({filled}) FROM train"
            [(mean, deviation)] = connection.execute(query).fetchall()
            add(name, f"({filled} - {number(mean)}) / {number(deviation or 1.0)}" if scale else filled)
        if nulls and median is not None:
            add(f"{name} is missing", f"CASE WHEN isfinite({raw}) THEN 0e0 ELSE 1e0 END")

    def add_categories(name: str, value: str) -> None:
        [(rows, filled)] = connection.execute(f"SELECT count(*), count({value}) FROM train").fetchall()
        # No names in it: an alias would yield to a column of the same name.
        query = f"SELECT {value}, count(*) FROM train WHERE {value} NOT NULL GROUP BY 1 "
        query += "HAVING count(*) >= ? ORDER BY count(*) DESC, 1 LIMIT ?"
        frequent = connection.execute(query, [min_category_rows, max_categories]).fetchall()
        groups = [(f"{name}={v}", f"{value} = {text(v)}", n) for v, n in frequent]
        listed = ", ".join(text(v) for v, _ in frequent)
        rare = f"{value} NOT IN ({listed})" if frequent else f"{value} NOT NULL"
        groups.append((f"{name}=(other)", rare, filled - sum(n for _, n in frequent)))
        groups.append((f"{name}=(missing)", f"{value} IS NULL", rows - filled))
        for group, condition, n in groups:
            if 0 < n < rows:
                add(group, f"CASE WHEN {condition} THEN 1e0 ELSE 0e0 END")

    left_out = []
    for name, kind in schema.items():
        if name == label or name in exclude:
            continue
        before, column = len(columns), identifier(name)
        if re.fullmatch("U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL[^[]*|BOOLEAN", kind):
            add_number(name, f"{column}::DOUBLE")
        elif re.fullmatch("DATE|TIMESTAMP[^[]*", kind):
            add_number(name, f"(epoch({column}) / 86400e0)")
        elif kind in ("VARCHAR", "UUID"):
            add_categories(name, column if kind == "VARCHAR" else f"{column}::VARCHAR")
        elif kind != '"NULL"':
            raise ValueError(f"{name}: {kind} is no feature; expected number, text or date, or it in exclude")
        if len(columns) == before:
            left_out.append(name)
    if not columns:
        raise ValueError(f"train: no feature remains; {', '.join(left_out)} tell no rows apart")

    selected = [f"{column['expression']} AS {identifier(column['name'])}" for column in columns]
    query = f"SELECT {', '.join(selected)}, ({target} = {text(positive)})::INTEGER AS label FROM "
    for view, output in {"train": train_features, "validation": validation_features}.items():
        Path(output.path).mkdir(parents=True, exist_ok=True)
        part = f"{output.path}/part-00000.parquet"
        [(rows,)] = connection.execute(f"COPY ({query} {view}) TO {text(part)} (FORMAT parquet)").fetchall()
        kinds = {column["name"]: "DOUBLE" for column in columns} | {"label": "INTEGER"}
        output.metadata.update(rows=rows, columns=list(kinds), schema=kinds, format="parquet")
    about = {"version": 1, "label": label, "positive_class": positive, "classes": classes, "columns": columns}
    about |= {"left_out": left_out, "fitted_on_rows": train_features.metadata["rows"]}
    Path(transform.path).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
