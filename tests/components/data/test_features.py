"""Features: fitted on train alone, written as SQL that any name and value survives, and applied."""

import json
import math
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from kfp.dsl import Artifact, Dataset

from trainwright.components.data.features import apply_features, fit_features

TRAIN = """SELECT i AS id, i % 2 = 0 AS flag, DATE '2026-01-01' + i::INTEGER AS day, 3 AS same,
    NULL AS nothing, CASE WHEN i % 10 = 0 THEN NULL WHEN i = 1 THEN 'nan'::DOUBLE ELSE i / 4.0 END AS number,
    CASE WHEN i % 20 = 0 THEN NULL WHEN i < 60 THEN 'often' WHEN i < 90 THEN 'rare' ELSE 'rarer ' || i END
    AS category, (i * 2.5)::DECIMAL(9, 2) AS exact, CASE WHEN i % 3 = 0 THEN 'Yes' ELSE 'No' END AS churn
    FROM range(100) t(i)"""
VALIDATION = TRAIN.replace("range(100)", "range(50, 90)")


def dataset(folder: Path, name: str, rows: str | pa.Table) -> Dataset:
    (folder / name).mkdir(exist_ok=True)
    file = str(folder / name / "part-00000.parquet")
    if isinstance(rows, str):
        duckdb.sql(rows).write_parquet(file)
    else:
        pq.write_table(rows, file)
    return Dataset(uri=str(folder / name))


def prepared(folder: Path, train: str | pa.Table, validation: str | pa.Table, **arguments: object) -> dict:
    transform = Artifact(uri=str(folder / "transform.json"))
    sides = {
        "train": dataset(folder, "train", train),
        "validation": dataset(folder, "validation", validation),
    }
    outputs = {side: Dataset(uri=str(folder / f"{side}_features")) for side in sides}
    fit_features.python_func(sides["train"], transform, **{"label": "churn", **arguments})
    for side, rows in sides.items():
        apply_features.python_func(rows, transform, outputs[side])
    told = json.loads(Path(transform.path).read_text())
    for output in outputs.values():
        names = [column["name"] for column in told["columns"]]
        features = duckdb.read_parquet(f"{output.path}/*.parquet")
        assert features.columns == output.metadata["columns"] == [*names, "label"]
        assert list(map(str, features.types)) == ["DOUBLE"] * len(names) + ["INTEGER"]
        assert all(math.isfinite(value) for row in features.fetchall() for value in row)
    return told


def features_of(folder: Path, name: str) -> list[dict]:
    relation = duckdb.read_parquet(str(folder / name / "*.parquet"))
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def test_numbers_are_imputed_and_scaled_and_text_is_encoded(tmp_path: Path) -> None:
    told = prepared(tmp_path, TRAIN, VALIDATION, exclude=["id"])
    assert {
        key: told[key] for key in ("version", "label", "positive_class", "classes", "fitted_on_rows")
    } == {
        "version": 1,
        "label": "churn",
        "positive_class": "Yes",
        "classes": ["No", "Yes"],
        "fitted_on_rows": 100,
    }
    assert told["left_out"] == ["same", "nothing"]
    categories = ["category=often", "category=rare", "category=(other)", "category=(missing)"]
    assert [column["name"] for column in told["columns"]] == [
        *("flag", "day", "number", "number is missing", *categories, "exact")
    ]
    rows = features_of(tmp_path, "train_features")
    assert [row["label"] for row in rows] == [int(i % 3 == 0) for i in range(100)]
    present = {i: i / 4 for i in range(100) if i % 10 and i != 1}
    middle = sorted(present.values())[len(present) // 2 - 1 : len(present) // 2 + 1]
    values = [present.get(i, sum(middle) / 2 if len(present) % 2 == 0 else middle[1]) for i in range(100)]
    mean = sum(values) / 100
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 100)
    assert [row["number"] for row in rows] == pytest.approx([(value - mean) / deviation for value in values])
    assert [row["number is missing"] for row in rows] == [float(i not in present) for i in range(100)]
    for name in ("flag", "day", "exact"):
        assert sum(row[name] for row in rows) == pytest.approx(0, abs=1e-9)
        assert sum(row[name] ** 2 for row in rows) == pytest.approx(100)
    assert all(sum(row[name] for name in categories) == 1 for row in rows)
    assert rows[0]["category=(missing)"] == rows[1]["category=often"] == rows[99]["category=(other)"] == 1


def test_the_expressions_alone_are_the_transform(tmp_path: Path) -> None:
    told = prepared(tmp_path, TRAIN, VALIDATION, exclude=["id"])
    selected = ", ".join(column["expression"] for column in told["columns"])
    raw = f"SELECT {selected} FROM read_parquet('{tmp_path}/validation/*.parquet')"
    features = [tuple(row.values())[:-1] for row in features_of(tmp_path, "validation_features")]
    assert duckdb.sql(raw).fetchall() == features
    strange = "SELECT NULL AS number, NULL AS flag, NULL::DATE AS day, 'unseen' AS category, NULL AS exact"
    (row,) = duckdb.sql(f"SELECT {selected} FROM ({strange})").fetchall()
    by_name = dict(zip([column["name"] for column in told["columns"]], row, strict=True))
    assert None not in row
    assert (by_name["number is missing"], by_name["category=(other)"], by_name["category=often"]) == (1, 1, 0)


def test_rows_need_only_the_columns_that_the_expressions_read(tmp_path: Path) -> None:
    prepared(tmp_path, TRAIN, VALIDATION, exclude=["id"])
    # In another order, without the key and what was left out, and in a folder that looks like a column.
    fewer = f"SELECT churn, * EXCLUDE (id, same, nothing, churn) FROM ({VALIDATION})"
    (tmp_path / "flag=1").mkdir()
    features = Dataset(uri=str(tmp_path / "fewer"))
    transform = Artifact(uri=str(tmp_path / "transform.json"))
    apply_features.python_func(dataset(tmp_path / "flag=1", "rows", fewer), transform, features)
    assert features_of(tmp_path, "fewer") == features_of(tmp_path, "validation_features")


def test_validation_changes_nothing_in_the_transform(tmp_path: Path) -> None:
    first = prepared(tmp_path, TRAIN, VALIDATION)
    assert prepared(tmp_path, TRAIN, VALIDATION.replace("i / 4.0", "1e6 * i")) == first
    assert prepared(tmp_path, TRAIN.replace("i / 4.0", "i / 5.0"), VALIDATION) != first


def test_few_categories_and_no_scaling_when_asked(tmp_path: Path) -> None:
    told = prepared(tmp_path, TRAIN, VALIDATION, exclude=["id"], max_categories=1, scale=False)
    assert "category=rare" not in [column["name"] for column in told["columns"]]
    assert features_of(tmp_path, "train_features")[2]["number"] == 0.5
    told = prepared(tmp_path, TRAIN, VALIDATION, exclude=["id"], min_category_rows=50)
    names = [column["name"] for column in told["columns"]]
    assert [name for name in names if name.startswith("category")] == ["category=often", *names[5:7]]


def test_the_positive_class_may_be_the_lesser(tmp_path: Path) -> None:
    told = prepared(tmp_path, TRAIN, VALIDATION, positive_class="No")
    assert told["classes"] == ["Yes", "No"]
    assert features_of(tmp_path, "train_features")[0]["label"] == 0
    told = prepared(tmp_path, TRAIN, VALIDATION, label="flag")
    assert (told["classes"], told["positive_class"]) == (["false", "true"], "true")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)


@settings(max_examples=30, deadline=None)
@given(
    name=names,
    label=names,
    values=st.lists(texts, min_size=2, max_size=4, unique=True),
    classes=st.tuples(names, names),
)
@example(
    name='a"b',
    label="c'd",
    values=["it's", '"', "'; DROP TABLE train; --", "x{}%?$1"],
    classes=("n'o", 'y"es'),
)
@example(name="label", label="target", values=["[1]", "<1>", "(1)", "$$"], classes=("0", "1"))
@example(name="n", label="v", values=["x", "y"], classes=("0", "1"))
@example(name="nr", label="LABEL", values=["A", "a", "(other)", "(missing)"], classes=("\\", "\n"))
def test_any_name_and_value_is_safe(
    tmp_path_factory: pytest.TempPathFactory, name: str, label: str, values: list, classes: tuple
) -> None:
    assume(name.casefold() != label.casefold() and classes[0] != classes[1])
    folder = tmp_path_factory.mktemp("features")
    rows = [(value, classes[number % 2]) for number, value in enumerate(values * 10)] + [(None, classes[0])]
    table = pa.table({name: [value for value, _ in rows], label: [c for _, c in rows]})
    told = prepared(folder, table, table, label=label, positive_class=classes[1])
    features = features_of(folder, "train_features")
    assert [row["label"] for row in features] == [int(c == classes[1]) for _, c in rows]
    encoded = [tuple(row.values())[:-1] for row in features]
    assert len(told["columns"]) == len(values) + 1
    assert all(sum(row) == 1 for row in encoded)
    assert len({(value, row) for (value, _), row in zip(rows, encoded, strict=True)}) == len(values) + 1
    found = [column["name"] for column in told["columns"]]
    assert len({column.lower() for column in found}) == len(found)
    assert not set("[]<>") & set("".join(found))


@pytest.mark.parametrize(
    ("train", "validation", "arguments", "message"),
    [
        (
            TRAIN,
            VALIDATION,
            {"label": "chrun"},
            "label: the train rows have no column 'chrun'; nearest: 'churn'",
        ),
        (
            TRAIN,
            VALIDATION,
            {"exclude": ["ids"]},
            "exclude: the train rows have no column 'ids'; nearest: 'id'",
        ),
        (TRAIN, VALIDATION, {"label": "day"}, "label: 'day' has .*; expected two"),
        (TRAIN, VALIDATION, {"label": "same"}, "label: 'same' has '3' in train; expected two"),
        (TRAIN, VALIDATION, {"positive_class": "yes"}, r"'yes' is not in 'churn'; .* \['No', 'Yes'\]"),
        (
            TRAIN,
            "SELECT 1 AS id, 'No' AS churn",
            {},
            'dataset does not fit the transform: .*"flag" not found',
        ),
        (TRAIN, "SELECT 1 AS id", {}, 'dataset does not fit the transform: .*"churn" not found'),
        (
            TRAIN,
            VALIDATION.replace("'No'", "NULL"),
            {},
            r"dataset: 27 rows have a 'churn' that is neither of \['No', 'Yes'\]",
        ),
        (TRAIN.replace("'No'", "NULL"), VALIDATION, {}, "None.* expected two, none null"),
        (
            TRAIN.replace("3 AS same", "[3] AS same"),
            VALIDATION,
            {},
            r"same: INTEGER\[\] is no feature",
        ),
        (
            "SELECT 1 AS a, i AS y FROM range(2) t(i)",
            "SELECT 1 AS a, 1 AS y",
            {"label": "y"},
            "no feature remains; a",
        ),
    ],
)
def test_bad_input(tmp_path: Path, train: str, validation: str, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        prepared(tmp_path, train, validation, **arguments)
    assert "\n" not in str(raised.value)
