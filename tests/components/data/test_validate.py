"""read_rules and validate: rules that hold, rules that do not, and rules that are none."""

import json
from pathlib import Path

import duckdb
import pytest
from kfp.dsl import Artifact, Dataset

from trainwright.components.data.validate import read_rules, validate

ROWS = """SELECT i AS id, CASE WHEN i = 3 THEN 'n/a' ELSE i::VARCHAR END AS code,
    CASE WHEN i < 4 THEN NULL ELSE i / 2.0 END AS half, i % 3 = 0 AS flag,
    DATE '2026-01-01' + i::INTEGER AS day, 'it''s ' || i % 2 AS "q""x", 1 AS same, NULL AS nothing
    FROM range(10) t(i)"""


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    duckdb.sql(ROWS).write_parquet(str(tmp_path / "part-00000.parquet"))
    return Dataset(uri=str(tmp_path / "part-00000.parquet"))


def validated(dataset: Dataset, rules: dict, label: str = "") -> dict:
    report = Artifact(uri=str(Path(dataset.path).parent / "report.json"))
    try:
        checks = read_rules.python_func(rules=rules, label=label)
        validate.python_func(dataset=dataset, checks=checks, report=report)
    finally:
        found = json.loads(Path(report.path).read_text()) if Path(report.path).exists() else {}
    return found


def test_rules_that_hold(dataset: Dataset) -> None:
    rules = {
        "columns": {
            "id": {"type": "integer", "nulls": 0, "min": 0, "max": 9, "unique": True, "values": [*range(10)]},
            "half": {"type": "number", "nulls": 0.4, "min": 2},
            "flag": {"type": "boolean", "values": [True, False], "unique": False},
            "day": {"type": "date", "min": "2026-01-01", "max": "2026-01-10"},
            'q"x': {"type": "text", "values": ["it's 0", "it's 1"]},
        },
        "rows": {"min": 10, "max": 10},
        "classes": {"max": 2},
    }
    report = validated(dataset, rules, label='q"x')
    assert report["passed"] and report["rows"] == 10
    assert len(report["checks"]) == 6 + 3 + 3 + 3 + 2 + 2 + 3
    assert not any(check["failed"] for check in report["checks"])


# Each: column, rule, its value, how many rows fail, which values are shown.
BROKEN = [
    ("id", "type", "text", 10, []),
    ("code", "type", "number", 1, ["n/a"]),
    ("half", "type", "integer", 10, []),
    ("id", "min", 8.5, 9, ["0", "1", "2", "3", "4"]),
    ("id", "max", 7, 2, ["8", "9"]),
    ("day", "max", "2026-01-09", 1, ["2026-01-10"]),
    ("half", "nulls", 0.39, 4, []),
    ("id", "values", [0, 1, 2, 3, 4, 5, 6], 3, ["7", "8", "9"]),
    ('q"x', "values", ["it's 1"], 5, ["it's 0"]),
    ("flag", "unique", True, 10, ["false", "true"]),
    ("code", "min", 0, 10, []),
    ("day", "min", 3, 10, []),
    ("nothing", "type", "text", 10, []),
]


@pytest.mark.parametrize(("column", "rule", "value", "failed", "samples"), BROKEN)
def test_a_broken_rule_names_column_rule_count_and_samples(
    dataset: Dataset, column: str, rule: str, value: object, failed: int, samples: list
) -> None:
    with pytest.raises(ValueError, match="1 of 1 rules do not hold: ") as raised:
        validated(dataset, {"columns": {column: {rule: value}}})
    assert f"{column}: {rule} {value!r}: " in str(raised.value)
    assert "\n" not in str(raised.value)
    assert all(sample in str(raised.value) for sample in samples)
    report = json.loads((Path(dataset.path).parent / "report.json").read_text())
    assert not report["passed"]
    assert [(check["failed"], check["samples"]) for check in report["checks"]] == [(failed, samples)]


def test_all_broken_rules_are_told(dataset: Dataset) -> None:
    rules = {"columns": {"id": {"min": 1}, "tenure": {}, "same": {"unique": True}}, "rows": {"min": 11}}
    with pytest.raises(ValueError, match="5 of 6 rules do not hold") as raised:
        validated(dataset, rules, label="same")
    for part in (
        "dataset: rows.min 11: 10 rows",
        "id: min 1",
        "tenure: ",
        "same: unique",
        "same: classes.min 2: 1 ",
    ):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("label", "message"),
    [("hafl", "no such target column; nearest: 'half'"), ("half", "half: label 'no null': 4 of 10 rows")],
)
def test_the_target_column_must_be_there_and_full(dataset: Dataset, label: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validated(dataset, {}, label=label)


def test_a_column_may_be_called_dataset(tmp_path: Path) -> None:
    duckdb.sql("SELECT 1 AS dataset FROM range(3)").write_parquet(str(tmp_path / "a.parquet"))
    rules = {"rows": {"min": 3}, "columns": {"dataset": {"max": 0}}}
    with pytest.raises(ValueError, match="1 of 2 rules do not hold: dataset: max 0: 3 of 3 rows"):
        validated(Dataset(uri=str(tmp_path / "a.parquet")), rules)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"colums": {}}, "rules: unknown rule 'colums'; nearest: 'columns'"),
        ({"columns": {"id": {"mn": 1}}}, "rules.columns.id: unknown rule 'mn'; nearest: 'min'"),
        ({"columns": {"id": {"min": [1]}}}, r"rules.columns.id.min: \[1\]; expected int \| float \| str"),
        ({"columns": {"id": 3}}, "rules.columns.id: 3; expected dict"),
        ({"columns": {"id": {"type": "int"}}}, "rules.columns.id: type is one of integer, number"),
        ({"columns": {"id": {"nulls": 5}}}, "nulls is from 0 to 1"),
        ({"rows": {"min": "3"}}, "rules.rows.min: '3'; expected"),
        ({"rows": {"mean": 3}}, "rules.rows: unknown rule 'mean'"),
    ],
)
def test_rules_that_are_none(rules: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_rules.python_func(rules)
