"""Raw columns to numbers, fitted on the train rows alone and written down as SQL."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from trainwright.authoring.images import DUCKDB, PYTHON_IMAGE

# ruff: noqa: B006, C901, S608 - KFP reads the default; a component is one function; SQL quotes what it holds


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[DUCKDB])
def fit_features(
    train: Input[Dataset],
    transform: Output[Artifact],
    label: str,
    positive_class: str = "",
    exclude: list = [],
    max_categories: int = 20,
    min_category_rows: int = 10,
    scale: bool = True,
) -> None:
    """Imputes, encodes and scales: fits the SQL expressions that `apply_features` selects.

    - Numbers and booleans: null, NaN and infinity become the median of the train rows, and where those have
      any, a column `<name> is missing` says so; then minus the mean, divided by the standard deviation. Dates
      and timestamps are taken as days since 1970.
    - Text: one column of 0 and 1 for each of the most frequent values (`<name>=<value>`), one for all that
      are rarer or unseen (`<name>=(other)`), one for null (`<name>=(missing)`), the last two where the train
      rows have such. So a column with many values (a postal code) gives at most `max_categories` + 2 columns.
    - Left out: what tells no train rows apart: constant columns, and text whose values are all rare (an id).

    Args:
        train: Parquet with the raw columns, one file or a folder of files.
        transform: JSON: `version` (1), `label`, `positive_class`, `classes` (as text: negative, positive),
            `columns` (each `name` and `expression`, DuckDB SQL over raw columns that gives a DOUBLE, never
            null), `left_out` (raw columns), `fitted_on_rows`. Names hold none of [, ], < and >: XGBoost
            refuses three of them.
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

    def literal(value: str | float) -> str:
        if isinstance(value, str):
            return "'" + value.replace("'", "''") + "'"
        return f"({value!r})" if "e" in repr(value) else f"({value!r}e0)"  # in SQL, 0.1 is a DECIMAL

    # One thread: the order in which floating-point numbers are added up decides their last digits.
    connection = duckdb.connect(config={"threads": 1})
    files = glob.escape(train.path) + ("/*.parquet" if Path(train.path).is_dir() else "")
    rows = connection.read_parquet(files, hive_partitioning=False)
    kinds = dict(zip(rows.columns, map(str, rows.types), strict=True))
    for argument, name in [("label", label), *(("exclude", name) for name in exclude)]:
        if name not in kinds:
            [close] = difflib.get_close_matches(name, kinds, n=1, cutoff=0)
            raise ValueError(f"{argument}: the train rows have no column {name!r}; nearest: {close!r}")
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in kinds}
    found = rows.aggregate(f"{quoted[label]}::VARCHAR, min({quoted[label]})").order("#2").fetchall()
    classes = sorted((value for value, _ in found), key=lambda value: value == positive_class)
    if len(classes) != 2 or None in classes:
        raise ValueError(f"label: {label!r} has {str(classes[:5])[1:-1]} in train; expected two, none null")
    if positive_class not in ("", classes[1]):
        raise ValueError(f"positive_class: {positive_class!r} is not in {label!r}; expected one of {classes}")

    # How a column of a type is read: the first is text, the others are numbers.
    readings = {
        'VARCHAR|UUID|"NULL"': "{}::VARCHAR",
        "U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL[^[]*|BOOLEAN": "{}::DOUBLE",
        "(DATE|TIMESTAMP)[^[]*": "(epoch({}) / 86400e0)",
    }
    columns: dict[str, dict] = {}
    left_out = []
    for name, kind in [item for item in kinds.items() if item[0] not in (label, *exclude)]:
        fitting = [reading for pattern, reading in readings.items() if re.fullmatch(pattern, kind)]
        if not fitting:
            raise ValueError(f"{name}: {kind} is no feature; expected number, text or date, or it in exclude")
        raw = fitting[0].format(quoted[name])
        if raw.endswith("VARCHAR"):
            common = rows.aggregate(f"{raw}, count(*)").filter(f"#1 NOT NULL AND #2 >= {min_category_rows}")
            top = [value for value, _ in common.order("#2 DESC, #1").limit(max_categories).fetchall()]
            rare = f"{raw} NOT IN ({', '.join(map(literal, top))})" if top else f"{raw} NOT NULL"
            flags = [(f"{name}={value}", f"{raw} = {literal(value)}") for value in top]
            flags += [(f"{name}=(other)", rare), (f"{name}=(missing)", f"{raw} IS NULL")]
            fitted = [(flag, f"CASE WHEN {met} THEN 1e0 ELSE 0e0 END") for flag, met in flags]
        else:
            finite = f"CASE WHEN isfinite({raw}) THEN {raw}"
            [(median,)] = rows.aggregate(f"median({finite} END)").fetchall()
            filled = f"{finite} ELSE {literal(median or 0.0)} END"
            [(mean, spread)] = rows.aggregate(f"avg({filled}), stddev_pop({filled})").fetchall()
            scaled = f"({filled} - {literal(mean)}) / {literal(spread or 1.0)}"
            missing = f"CASE WHEN isfinite({raw}) THEN 0e0 ELSE 1e0 END"
            fitted = [(name, scaled if scale else filled), (f"{name} is missing", missing)]
        varies = rows.aggregate(", ".join(f"min({sql}) < max({sql})" for _, sql in fitted)).fetchall()
        fitted = [feature for feature, told in zip(fitted, varies[0], strict=True) if told]
        left_out += [] if fitted else [name]
        for feature, expression in fitted:
            feature = feature.translate(str.maketrans("[]<>", "()()"))
            while feature.lower() in {"label", *columns}:
                feature += "'"
            columns[feature.lower()] = {"name": feature, "expression": expression}
    if not columns:
        raise ValueError(f"train: no feature remains; {', '.join(left_out)} tell no rows apart")
    about = {"version": 1, "label": label, "positive_class": classes[1], "classes": classes}
    about |= {"columns": [*columns.values()], "left_out": left_out, "fitted_on_rows": len(rows)}
    Path(transform.path).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[DUCKDB])
def apply_features(dataset: Input[Dataset], transform: Input[Artifact], features: Output[Dataset]) -> None:
    """Selects the expressions of a fitted transform from raw rows, and the label as 0 and 1.

    Args:
        dataset: Parquet with the raw columns that the expressions read and the label, one file or a folder.
        transform: JSON of `fit_features`.
        features: Parquet: the transform's columns, all DOUBLE and never null, then `label`, INTEGER: 1 for
            the positive class, else 0. One row for each row of `dataset`, in the same order.

    Raises:
        ValueError: A column is missing or of a type that an expression does not take, or a row's label is
            neither of the transform's classes.
    """
    import glob
    import json
    from pathlib import Path

    import duckdb

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    fitted = json.loads(Path(transform.path).read_text(encoding="utf-8"))
    label, classes = f"{quoted(fitted['label'])}::VARCHAR", fitted["classes"]
    kinds = {column["name"]: "DOUBLE" for column in fitted["columns"]} | {"label": "INTEGER"}
    expressions = [column["expression"] for column in fitted["columns"]]
    positive = fitted["positive_class"].replace("'", "''")
    selected = f"SELECT {', '.join(expressions)}, ({label} = '{positive}')::INTEGER FROM raw"
    files = glob.escape(dataset.path) + ("/*.parquet" if Path(dataset.path).is_dir() else "")
    Path(features.path).mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.read_parquet(files, hive_partitioning=False).create_view("raw")
    try:
        query = f"SELECT count(*), count_if(list_contains(?, {label}) IS NOT TRUE) FROM raw"
        [(rows, strange)] = connection.execute(query, [classes]).fetchall()
        if strange:
            raise ValueError(
                f"dataset: {strange:,} rows have a {fitted['label']!r} that is neither of {classes}"
            )
        # Named from outside: a name inside would stand in for a column that is not there.
        named = connection.sql(f"FROM ({selected}) AS features({', '.join(map(quoted, kinds))})")
        named.write_parquet(f"{features.path}/part-00000.parquet")
    except duckdb.Error as error:
        raise ValueError(f"dataset does not fit the transform: {str(error).splitlines()[0]}") from None
    features.metadata.update(rows=rows, columns=list(kinds), schema=kinds, format="parquet")


class Features(NamedTuple):
    """What `prepare_features` gives."""

    train_features: Dataset
    validation_features: Dataset
    transform: Artifact


@dsl.pipeline(
    name="prepare-features",
    description="Features of train and validation rows by one transform, fitted on the train rows alone.",
)
def prepare_features(
    train: Input[Dataset],
    validation: Input[Dataset],
    label: str,
    positive_class: str = "",
    exclude: list = [],
    max_categories: int = 20,
    min_category_rows: int = 10,
    scale: bool = True,
) -> Features:
    """Imputes, encodes and scales the columns of train and validation rows; see `fit_features`.

    Args:
        train: Parquet with the raw columns; everything is fitted on these rows alone.
        validation: Parquet with the same columns.
        label: Target column with exactly two values, none null.
        positive_class: The value that is predicted, as text. Empty: the greater of the two.
        exclude: Columns that are no features: keys, times, what is known only after the fact.
        max_categories: At most so many values of a text column get a column of their own; at least 1.
        min_category_rows: Values in fewer train rows than this are rare.
        scale: False leaves the numbers as they are (trees do not need it).

    Returns:
        `train_features` and `validation_features`: see `apply_features`. `transform`: see `fit_features`.
    """
    fitted = fit_features(
        train=train,
        label=label,
        positive_class=positive_class,
        exclude=exclude,
        max_categories=max_categories,
        min_category_rows=min_category_rows,
        scale=scale,
    ).set_display_name("Fit features")
    of_train = apply_features(dataset=train, transform=fitted.outputs["transform"])
    of_validation = apply_features(dataset=validation, transform=fitted.outputs["transform"])
    return Features(
        train_features=of_train.set_display_name("Apply to train rows").outputs["features"],
        validation_features=of_validation.set_display_name("Apply to validation rows").outputs["features"],
        transform=fitted.outputs["transform"],
    )
