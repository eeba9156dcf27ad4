"""A dataset against rules: what must hold before a model is trained on it."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from trainwright.authoring.images import DUCKDB, PYTHON_IMAGE

# ruff: noqa: B006, S608 - KFP reads the default; SQL holds quoted names, values are bound


@dsl.component(base_image=PYTHON_IMAGE)
def read_rules(rules: dict = {}, label: str = "") -> list:
    """Reads rules into the checks that `validate` makes: a mistake in them is found before there is data.

    Args:
        rules: Any of "columns", "rows" and "classes", as in `{"columns": {"age": {"type": "integer",
            "nulls": 0.05, "min": 18, "max": 99, "values": [..], "unique": true}}, "rows": {"min": 100,
            "max": 99999}, "classes": {"min": 2, "max": 2}}`. A column that is named must be there. "type":
            "integer", "number" (or integer), "text", "boolean", "date" or "timestamp". "nulls": the greatest
            share of rows without a value, 0 to 1 (NaN is a value, over any number). "min" and "max": numbers,
            or ISO text for dates and timestamps. "values": all that are allowed beside null. "unique": true
            for no value twice. "classes": how many values the label has; at least 2 if nothing else is said.
        label: Target column: it must be there and without nulls. Empty: there is none.

    Returns:
        A list of `column` ("dataset" where it is about all), `rule` and `expected`.

    Raises:
        ValueError: `rules` has an unknown name or a value of the wrong kind.
    """
    import difflib

    limits = {"min": int | float, "max": int | float}
    column_rules = {"type": str, "nulls": int | float, "min": int | float | str, "max": int | float | str}
    column_rules |= {"values": list, "unique": bool}
    types = ("integer", "number", "text", "boolean", "date", "timestamp")

    def read(where: str, given: dict, known: dict) -> dict:
        for rule, value in given.items():
            if rule not in known:
                [close] = difflib.get_close_matches(rule, known, n=1, cutoff=0)
                raise ValueError(f"{where}: unknown rule {rule!r}; nearest: {close!r}")
            if not isinstance(value, known[rule]):
                kind = getattr(known[rule], "__name__", known[rule])
                raise ValueError(f"{where}.{rule}: {value!r}; expected {kind}")
        return given

    parts = read("rules", rules, dict.fromkeys(("columns", "rows", "classes"), dict))
    columns = parts.get("columns", {})
    rows, classes = (read(f"rules.{part}", parts.get(part, {}), limits) for part in ("rows", "classes"))
    checks = [("dataset", f"rows.{side}", limit) for side, limit in rows.items()]
    for name, given in read("rules.columns", columns, dict.fromkeys(columns, dict)).items():
        read(f"rules.columns.{name}", given, column_rules)
        if given.get("type", "text") not in types or not 0 <= given.get("nulls", 0) <= 1:
            raise ValueError(f"rules.columns.{name}: type is one of {', '.join(types)}; nulls is from 0 to 1")
        checks += [(name, rule, expected) for rule, expected in (given or {"column": "present"}).items()]
    if label:
        checks.append((label, "label", "no null"))
        checks += [(label, f"classes.{side}", limit) for side, limit in {"min": 2, **classes}.items()]
    return [dict(zip(("column", "rule", "expected"), check, strict=True)) for check in checks]


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[DUCKDB])
def validate(dataset: Input[Dataset], checks: list, report: Output[Artifact]) -> None:
    """Makes every check and fails with all that do not hold.

    Args:
        dataset: Parquet, one file or a folder of files.
        checks: Of `read_rules`.
        report: JSON: `passed`, `rows` and `checks`, each with `column`, `rule`, `expected`, `found` (in
            words), `failed` (rows; 0 if it holds) and `samples` (up to 5 values that break it).

    Raises:
        ValueError: A check does not hold. The message has every one: column, rule, rows and samples.
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
    broken_by = {
        "type": "{column} NOT NULL AND TRY_CAST({column}::VARCHAR AS {cast}) IS NULL",
        "label": "{column} IS NULL",
        "nulls": "{column} IS NULL AND (SELECT avg(({column} IS NULL)::INTEGER) FROM data) > ?",
        "min": "{column}::{compared} < ?::{compared}",
        "max": "{column}::{compared} > ?::{compared}",
        "values": "NOT list_contains(?::{compared}[], {column}::{compared})",
        "unique": "? AND {column} IN (SELECT {column} FROM data GROUP BY 1 HAVING count(*) > 1)",
    }
    connection = duckdb.connect()
    files = glob.escape(dataset.path) + ("/*.parquet" if Path(dataset.path).is_dir() else "")
    data = connection.read_parquet(files, hive_partitioning=False)
    data.create_view("data")
    rows, kinds = len(data), dict(zip(data.columns, map(str, data.types), strict=True))
    made: dict[tuple, dict] = {}  # by column and rule, so that a column that is not there is told once
    for check in checks:
        name, rule, expected = check["column"], check["rule"], check["expected"]
        column, kind, failed, samples = '"' + name.replace('"', '""') + '"', kinds.get(name, ""), 0, None
        counted, _, side = rule.partition(".")
        if counted != "rows" and not kind:
            close = (difflib.get_close_matches(name, kinds, n=1, cutoff=0) or [""])[0]
            found = f"no such {'target ' * (rule == 'label')}column; nearest: {close!r}"
            rule, expected, failed = "column", "present", 1
        elif side:
            measure = "count(*)" if counted == "rows" else f"count(DISTINCT {column})"
            [(values,)] = data.aggregate(measure).fetchall()
            found, failed = f"{values:,} {counted}", values < expected if side == "min" else values > expected
        elif rule == "column":
            found = f"column is {kind}"
        else:
            fitting, cast = types[expected] if rule == "type" else ("", "")
            compared = "DOUBLE" if re.fullmatch(numbers, kind) or isinstance(expected, int | float) else kind
            condition = broken_by[rule].format(column=column, cast=cast, compared=compared)
            query = f"SELECT count(*), min(DISTINCT {column}::VARCHAR, 5) FROM data WHERE {condition}"
            bound = [expected] if "?" in broken_by[rule] else []
            if rule == "values":
                bound = [[item if isinstance(item, str) else json.dumps(item) for item in expected]]
            try:
                [(failed, samples)] = connection.execute(query, bound).fetchall()
                found = f"{failed:,} of {rows:,} rows, column is {kind}"
            except duckdb.Error as error:
                found, failed = f"not comparable with {kind}: {str(error).splitlines()[0]}", rows
            if rule == "type" and not re.fullmatch(fitting, kind):
                found = f"column is {kind}; {failed:,} of {rows:,} rows do not fit"
                failed = failed or rows
            found += f", e.g. {samples}" if samples else ""
        about = {"column": name, "rule": rule, "expected": expected, "found": found}
        made.setdefault((name, rule), {**about, "failed": int(failed), "samples": samples or []})

    failures = [about for about in made.values() if about["failed"]]
    told = {"passed": not failures, "rows": rows, "checks": [*made.values()]}
    Path(report.path).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if failures:
        lines = "; ".join("{column}: {rule} {expected!r}: {found}".format(**about) for about in failures)
        raise ValueError(f"{len(failures)} of {len(made)} rules do not hold: {lines}")
