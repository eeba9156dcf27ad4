"""A dataset against rules: what must hold before a model is trained on it."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from trainwright.authoring.images import DUCKDB, PYTHON_IMAGE

# ruff: noqa: C901, S608 - a component is one function; SQL holds quoted names, values are bound


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[DUCKDB])
def validate(dataset: Input[Dataset], rules: dict, report: Output[Artifact], label: str = "") -> None:
    """Checks a dataset against rules and fails with every rule that does not hold.

    Args:
        dataset: Parquet, one file or a folder of files.
        rules: Any of "columns", "rows" and "classes", as in `{"columns": {"age": {"type": "integer",
            "nulls": 0.05, "min": 18, "max": 99, "values": [..], "unique": true}}, "rows": {"min": 100,
            "max": 99999}, "classes": {"min": 2, "max": 2}}`. A column that is named must be there. "type":
            "integer", "number" (or integer), "text", "boolean", "date" or "timestamp". "nulls": the greatest
            share of rows without a value, 0 to 1 (NaN is a value, over any number). "min" and "max": numbers,
            or ISO text for dates and timestamps. "values": all that are allowed beside null. "unique": true
            for no value twice. "classes": how many values the label has; at least 2 if nothing else is said.
        report: JSON: `passed`, `rows` and `checks`, a list of `column` ("dataset" where it is about all),
            `rule`, `expected`, `found` (in words), `failed` (rows; 0 if it holds) and `samples` (up to 5
            values that break it).
        label: Target column: it must be there and without nulls. Empty: there is none.

    Raises:
        ValueError: A rule does not hold (the message has every one: column, rule, rows and samples), or
            `rules` has an unknown name or a value of the wrong kind.
    """
    import difflib
    import glob
    import json
    import re
    from pathlib import Path

    import duckdb

    integers = "U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)"
    numbers = f"{integers}|FLOAT|DOUBLE|DECIMAL[^[]*"
    # For each type of a rule: the types of DuckDB that have it, and the type that shows which values do not.
    types = {"integer": (integers, "HUGEINT"), "number": (numbers, "DOUBLE"), "text": ("VARCHAR", "VARCHAR")}
    types |= {kind: (f"{kind.upper()}[^[]*", kind.upper()) for kind in ("boolean", "date", "timestamp")}
    column_rules = {"type": str, "nulls": int | float, "min": int | float | str, "max": int | float | str}
    column_rules |= {"values": list, "unique": bool}
    broken_by = {
        "type": "{column} NOT NULL AND TRY_CAST({column}::VARCHAR AS {cast}) IS NULL",
        "nulls": "{column} IS NULL AND (SELECT avg(({column} IS NULL)::INTEGER) FROM data) > ?",
        "min": "{column}::{compared} < ?::{compared}",
        "max": "{column}::{compared} > ?::{compared}",
        "values": "NOT list_contains(?::{compared}[], {column}::{compared})",
        "unique": "? AND {column} IN (SELECT {column} FROM data GROUP BY 1 HAVING count(*) > 1)",
    }
    checks: list[dict] = []

    def nearest(name: str, names: list[str]) -> str:
        return "nearest: " + repr((difflib.get_close_matches(name, names, n=1, cutoff=0) or [""])[0])

    def known(where: str, given: dict, allowed: dict) -> dict:
        for rule, value in given.items():
            if rule not in allowed:
                raise ValueError(f"{where}: unknown rule {rule!r}; {nearest(rule, list(allowed))}")
            if not isinstance(value, allowed[rule]):
                kinds = getattr(allowed[rule], "__name__", allowed[rule])
                raise ValueError(f"{where}.{rule}: {value!r}; expected {kinds}")
        return given

    def check(
        column: str, rule: str, expected: object, failed: int, found: str, samples: object = None
    ) -> None:
        about = {"column": column, "rule": rule, "expected": expected, "found": found}
        checks.append({**about, "failed": int(failed), "samples": samples or []})

    def check_limits(column: str, name: str, found: int, limits: dict) -> None:
        for side, limit in known(f"rules.{name}", limits, dict.fromkeys(("min", "max"), int | float)).items():
            broken = found < limit if side == "min" else found > limit
            check(column, f"{name}.{side}", limit, broken, f"{found:,} {name}")

    files = glob.escape(dataset.path) + ("/*.parquet" if Path(dataset.path).is_dir() else "")
    connection = duckdb.connect()
    connection.read_parquet(files, hive_partitioning=False).create_view("data")
    schema = {name: kind for name, kind, *_ in connection.execute("DESCRIBE FROM data").fetchall()}
    [(rows,)] = connection.execute("SELECT count(*) FROM data").fetchall()

    columns = known("rules", rules, dict.fromkeys(("columns", "rows", "classes"), dict)).get("columns", {})
    check_limits("dataset", "rows", rows, rules.get("rows", {}))
    for name, given in known("rules.columns", columns, dict.fromkeys(columns, dict)).items():
        known(f"rules.columns.{name}", given, column_rules)
        if given.get("type", "text") not in types or not 0 <= given.get("nulls", 0) <= 1:
            raise ValueError(f"rules.columns.{name}: type is one of {', '.join(types)}; nulls is from 0 to 1")
        if name not in schema:
            check(name, "column", "present", 1, f"no such column; {nearest(name, list(schema))}")
            continue
        column, kind = '"' + name.replace('"', '""') + '"', schema[name]
        fitting, cast = types[given.get("type", "text")]
        for rule, value in given.items():
            compared = "DOUBLE" if re.fullmatch(numbers, kind) or isinstance(value, int | float) else kind
            condition = broken_by[rule].format(column=column, cast=cast, compared=compared)
            if rule == "values":
                value = [item if isinstance(item, str) else json.dumps(item) for item in value]
            broken = f"SELECT {column}::VARCHAR AS v, count(*) AS n FROM data WHERE {condition} GROUP BY 1"
            query = f"SELECT sum(n)::BIGINT, min(v, 5) FROM ({broken})"
            bound = [] if rule == "type" else [value]
            try:
                [(failed, samples)] = connection.execute(query, bound).fetchall()
                found = f"{failed or 0:,} of {rows:,} rows, column is {kind}"
            except duckdb.Error as error:
                failed, samples, found = rows, [], f"not comparable with {kind}: {str(error).splitlines()[0]}"
            if rule == "type" and not re.fullmatch(fitting, kind):
                found = f"column is {kind}; {failed or 0:,} of {rows:,} rows do not fit"
                failed = failed or rows
            check(name, rule, given[rule], failed or 0, found, samples)
    if label in schema:
        column = '"' + label.replace('"', '""') + '"'
        counts = f"SELECT count(DISTINCT {column}), count(*) - count({column}) FROM data"
        [(classes, nulls)] = connection.execute(counts).fetchall()
        check(label, "label", "no null", nulls, f"{nulls:,} of {rows:,} rows")
        check_limits(label, "classes", classes, {"min": 2, **rules.get("classes", {})})
    elif label:
        check(label, "label", "present", 1, f"no such target column; {nearest(label, list(schema))}")

    failures = [item for item in checks if item["failed"]]
    about = {"passed": not failures, "rows": rows, "checks": checks}
    Path(report.path).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    line = "{column}: {rule} {expected!r}: {found}"
    told = [line.format(**item) + f", e.g. {item['samples']}" * bool(item["samples"]) for item in failures]
    if failures:
        raise ValueError(f"{len(failures)} of {len(checks)} rules do not hold: {'; '.join(told)}")
