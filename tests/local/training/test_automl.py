"""The AutoML engine on real tables: what it reaches, that it is repeatable, and what it says of bad data."""

import random

import numpy as np
import pytest

from examples.data import example_tables
from trainwright.local.training.automl.features import Features
from trainwright.local.training.automl.model import Ensemble
from trainwright.local.training.automl.train import Config, DataError, Rows, train
from trainwright.local.training.splits import SETS, set_of_share, share_of


def rows_of(columns, target):
    """The sets of a table, split as local Vertex splits by default."""
    names = list(columns)
    sets = {name: Rows({column: [] for column in names}, [], np.array([])) for name in SETS}
    for row in zip(*columns.values(), strict=True):
        rows = sets[set_of_share(share_of(row), (0.8, 0.1, 0.1))]
        for column, value in zip(names, row, strict=True):
            rows.table[column].append(value)
    for rows in sets.values():
        rows.target.extend(rows.table.pop(target))
        rows.weight = np.ones(len(rows.target))
    return sets


def texts(name):
    table = example_tables(name)[name]
    return {
        column: ["" if value is None else str(value) for value in table.column(column).to_pylist()]
        for column in table.column_names
    }


def config(sets, target, **changes):
    kinds = dict.fromkeys(sets["training"].table, "auto")
    values = {
        "data": "", "target": target, "kind": "classification", "objective": "", "columns": kinds,
        "weight": "", "recall": 0.0, "precision": 0.0, "has_folds": True, "seconds": 60.0, "models": 1,
        "stops_early": True,
    }  # fmt: skip
    return Config(**{**values, **changes})


@pytest.fixture(scope="module")
def credit():
    columns = {name: values for name, values in texts("credit").items() if name != "application_id"}
    return rows_of(columns, "Status")


def test_two_classes_are_told_apart_the_same_way_every_time(credit, tmp_path):
    first, metrics = train(config(credit, "Status"), credit, 0.0)
    again, _ = train(config(credit, "Status"), credit, 0.0)
    found = first.predict(credit["test"].table)
    assert np.array_equal(found, again.predict(credit["test"].table))
    assert metrics["auRoc"] > 0.84 and metrics["logLoss"] < 0.5
    first.save(tmp_path)
    assert np.array_equal(found, Ensemble.load(tmp_path).predict(credit["test"].table))
    assert not [file for file in tmp_path.iterdir() if file.suffix not in (".json", ".txt")]


def test_several_classes_and_a_regression(credit):
    table = {**credit["training"].table, "Status": credit["training"].target}
    sets = rows_of(table, "Home")
    for rows in sets.values():
        rows.target[:] = [value or "other" for value in rows.target]
    found, metrics = train(config(sets, "Home"), sets, 0.0)
    assert len(found.classes) > 4
    assert np.allclose(found.predict(sets["test"].table).sum(axis=1), 1)
    assert metrics["logLoss"] < 1.2  # 1.5 of the classes' frequencies alone
    for objective in ("minimize-mae", "minimize-rmsle"):
        sets = rows_of(table, "Price")
        asked = config(sets, "Price", kind="regression", objective=objective)
        _, metrics = train(asked, sets, 0.0)
        assert metrics["rSquared"] > 0.6 and metrics["rootMeanSquaredLogError"] < 0.4


def test_kinds_of_columns_are_found_out():
    table = {
        "number": ["1", "2.5", "", "-3e4"],
        "day": ["2026-01-01", "2026-02-01T10:00:00Z", "", "2026-03-01"],
        "word": ["a", "b", "a", ""],
        "note": ["the cat sat down", "one more thing to say", "four words and more", "not the same text"],
    }
    features = Features.fit(table, dict.fromkeys(table, "auto"))
    assert [column.kind for column in features.columns] == ["numeric", "timestamp", "categorical", "text"]
    same = Features.from_json(features.json())
    assert np.array_equal(features.for_trees(table), same.for_trees(table), equal_nan=True)
    assert not np.isnan(features.for_lines(table)).any()


def broken(change):
    draw = random.Random(0)
    columns = {"x": [str(draw.random()) for _ in range(1200)], "y": [draw.choice("ab") for _ in range(1200)]}
    change(columns)
    return rows_of(columns, "y")


@pytest.mark.parametrize(
    ("change", "asked", "said"),
    [
        (lambda c: [values.__delitem__(slice(900)) for values in c.values()], {}, "300 rows; AutoML needs"),
        (lambda c: c.update(y=["a"] * 1200), {}, "target column 'y': 1 different values"),
        (lambda c: c.update(y=["rare", *c["y"][1:]]), {}, "'rare'"),
        (lambda c: c.update(y=[*map(str, range(1200))]), {}, "different values; expected 2 to 500"),
        (lambda c: c.update(y=["c", *c["y"]][:1200]), {"objective": "maximize-au-roc"}, "'c'|3 classes"),
        (lambda c: None, {"kind": "regression", "objective": "minimize-rmse"}, "expected a number"),
        (
            lambda c: c.update(y=["-1"] * 1200),
            {"kind": "regression", "objective": "minimize-rmsle"},
            "expected a number from 0",
        ),
    ],
)
def test_bad_data_end_in_a_line(change, asked, said):
    sets = broken(change)
    with pytest.raises(DataError, match=said) as error:
        train(config(sets, "y", **asked), sets, 0.0)
    assert "\n" not in str(error.value)


def test_a_column_without_values_or_with_one_does_no_harm():
    sets = broken(lambda columns: columns.update(empty=[""] * 1200, same=["k"] * 1200))
    found, metrics = train(config(sets, "y"), sets, 0.0)
    assert found.predict(sets["test"].table).shape == (len(sets["test"].target), 2)
    assert 0.6 < metrics["logLoss"] < 0.8
