"""split: every row on one side, the same number as hashlib's, no key on two sides."""

import hashlib
from pathlib import Path

import duckdb
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kfp.dsl import Dataset

from trainwright.components.data.split import split

ROWS = """SELECT i AS id, 'c' || i // 2 AS customer, (i // 2) % 5 = 0 AS label, i // 30 AS day, 'x' AS place,
    i % 7 AS nr, {'a': 1} AS struct, NULL AS nothing, i::VARCHAR AS text FROM range(1000) t(i)"""


def sides(folder: Path, query: str, **arguments: object) -> dict[str, list[dict]]:
    (folder / "in").mkdir(exist_ok=True)
    duckdb.sql(query).write_parquet(str(folder / "in" / "part-00000.parquet"))
    outputs = {side: Dataset(uri=str(folder / side)) for side in ("train", "validation", "test")}
    split.python_func(dataset=Dataset(uri=str(folder / "in")), **outputs, **arguments)
    rows = {}
    for side, output in outputs.items():
        relation = duckdb.read_parquet(f"{output.path}/*.parquet")
        rows[side] = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
        assert output.metadata["rows"] == len(rows[side]) > 0
        assert output.metadata["columns"] == relation.columns
        assert output.metadata["schema"] == dict(zip(relation.columns, map(str, relation.types), strict=True))
    return rows


@pytest.mark.parametrize(
    "arguments",
    [
        {"key": "id"},
        {"key": "customer"},
        {},
        {"method": "stratified", "key": "customer", "label": "label"},
        {"method": "time", "time_column": "day"},
    ],
)
def test_every_row_is_on_one_side_in_its_order_and_again(tmp_path: Path, arguments: dict) -> None:
    rows = sides(tmp_path, ROWS, **arguments)
    ids = {side: [row["id"] for row in found] for side, found in rows.items()}
    assert sorted(i for found in ids.values() for i in found) == list(range(1000))
    assert all(found == sorted(found) for found in ids.values())
    files = [tmp_path / side / "part-00000.parquet" for side in ids]
    before = [file.read_bytes() for file in files]
    sides(tmp_path, ROWS, **arguments)
    assert [file.read_bytes() for file in files] == before
    assert 700 < len(ids["train"]) < 900


def number(key: str) -> int:
    return int(hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[:8], 16) % 10_000


@settings(max_examples=25, deadline=None)
@given(
    keys=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=60, max_size=80, unique=True
    )
)
def test_the_side_is_the_one_that_hashlib_tells(tmp_path_factory: pytest.TempPathFactory, keys: list) -> None:
    told = {
        key: "test" if number(key) < 3000 else "validation" if number(key) < 6000 else "train" for key in keys
    }
    assume(len(set(told.values())) == 3)
    folder = tmp_path_factory.mktemp("split")
    (folder / "in").mkdir()
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT unnest($keys) AS k", {"keys": keys})
    connection.sql("FROM t").write_parquet(str(folder / "in" / "a.parquet"))
    outputs = {side: Dataset(uri=str(folder / side)) for side in ("train", "validation", "test")}
    split.python_func(
        dataset=Dataset(uri=str(folder / "in")),
        **outputs,
        key="k",
        validation_fraction=0.3,
        test_fraction=0.3,
    )
    found = {}
    for side, output in outputs.items():
        found |= {key: side for (key,) in duckdb.read_parquet(f"{output.path}/*.parquet").fetchall()}
    assert found == told


def test_a_key_stays_together_and_keeps_its_side_when_the_data_grows(tmp_path: Path) -> None:
    rows = sides(tmp_path, ROWS, key="customer")
    customers = {side: {row["customer"] for row in found} for side, found in rows.items()}
    assert sum(map(len, customers.values())) == 500
    grown = sides(
        tmp_path, ROWS.replace("range(1000)", "range(3000)"), key="customer", validation_fraction=0.3
    )
    assert customers["test"] <= {row["customer"] for row in grown["test"]}


def test_stratified_keeps_the_share_of_each_label(tmp_path: Path) -> None:
    rows = sides(tmp_path, ROWS, method="stratified", key="customer", label="label")
    shares = {side: sum(row["label"] for row in found) / len(found) for side, found in rows.items()}
    assert shares == {"train": 0.2, "validation": 0.2, "test": 0.2}
    customers = [{row["customer"] for row in found} for found in rows.values()]
    assert sum(map(len, customers)) == 500


def test_time_has_the_newest_rows_in_test_and_ties_together(tmp_path: Path) -> None:
    rows = sides(tmp_path, ROWS, method="time", time_column="day")
    days = {side: {row["day"] for row in found} for side, found in rows.items()}
    assert max(days["train"]) < min(days["validation"]) <= max(days["validation"]) < min(days["test"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"key": "custmer"}, "key: the dataset has no column 'custmer'; nearest: 'customer'"),
        ({"key": "nothing"}, "key: 1,000 rows have no 'nothing'"),
        ({"key": "place"}, "no row falls on this side"),
        ({"method": "random"}, "method 'random': expected 'hash', 'stratified' or 'time'"),
        ({"method": "stratified", "key": "id"}, "label: the dataset has no column ''"),
        ({"method": "stratified", "key": "customer", "label": "id"}, "key: 'c0' has more than one 'id'"),
        ({"method": "time", "time_column": "text"}, "time_column: 'text' is VARCHAR"),
        ({"test_fraction": 0.0}, "expected both above 0"),
        ({"test_fraction": 0.5, "validation_fraction": 0.5}, "their sum below 1"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sides(tmp_path, ROWS, **arguments)
