"""How data are split for a training: every kind of split, and what is said of tables that cannot be read."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.local.storage import PlainObjects
from trainwright.local.training.splits import SETS, rule_of, split_of
from trainwright.local.training.tables import DataError, Table


@pytest.fixture
def put(tmp_path):
    objects = PlainObjects(tmp_path)
    (tmp_path / "bucket").mkdir()

    def put(text, name="t.csv"):
        (tmp_path / "bucket" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return Table(objects, [f"gs://bucket/{name}"])

    return put


def sets(table, config):
    rule = rule_of(table, split_of(config))
    found = defaultdict(list)
    for row in table.rows():
        found[rule(row)].append(row)
    return found


def fractions(first, second, third, **more):
    return dict(trainingFraction=first, validationFraction=second, testFraction=third, **more)


def test_fractions_are_kept_roughly_and_do_not_depend_on_the_order_of_the_rows(put):
    rows = [f"{number},{number % 7}\n" for number in range(5000)]
    one = sets(put("id,x\n" + "".join(rows)), {"fractionSplit": fractions(0.6, 0.3, 0.1)})
    other = sets(put("id,x\n" + "".join(rows[::-1])), {"fractionSplit": fractions(0.6, 0.3, 0.1)})
    for name, share in zip(SETS, (0.6, 0.3, 0.1), strict=True):
        assert abs(len(one[name]) / 5000 - share) < 0.02
        assert sorted(one[name]) == sorted(other[name])
    default = sets(put("id,x\n" + "".join(rows)), {})
    assert abs(len(default["training"]) / 5000 - 0.8) < 0.02


def test_a_stratified_split_mirrors_the_distribution_in_each_set(put):
    rows = [f"{number},{'rare' if number % 20 == 0 else 'common'}\n" for number in range(2000)]
    found = sets(
        put("id,label\n" + "".join(rows)), {"stratifiedSplit": fractions(0.5, 0.25, 0.25, key="label")}
    )
    counts = {name: Counter(row[1] for row in found[name]) for name in SETS}
    assert [counts[name]["rare"] for name in SETS] == [50, 25, 25]
    assert [counts[name]["common"] for name in SETS] == [950, 475, 475]


def test_a_timestamp_split_is_in_the_order_of_time_and_leaves_out_rows_without_one(put):
    rows = [f"2026-01-{day:02d}T00:00:00Z,{day}\n" for day in range(20, 0, -1)]
    config = {"timestampSplit": fractions(0.8, 0.1, 0.1, key="at")}
    found = sets(put("at,day\n" + "".join(rows) + "yesterday,99\n"), config)
    days = {name: sorted(int(row[1]) for row in found[name]) for name in SETS}
    assert days == {"training": [*range(1, 17)], "validation": [17, 18], "test": [19, 20]}
    assert found[None] == [["yesterday", "99"]]


def test_a_predefined_split_takes_the_words_of_the_api_and_of_automl(put):
    table = put("id,set\n1,training\n2,VALIDATE\n3,test\n4,TRAIN\n5,\n6,other\n")
    found = sets(table, {"predefinedSplit": {"key": "set"}})
    ids = {name: [row[0] for row in rows] for name, rows in found.items()}
    assert ids == {"training": ["1", "4"], "validation": ["2"], "test": ["3"], None: ["5", "6"]}


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_fractions_always_sum_to_one_or_are_refused(given_fractions):
    try:
        split = split_of({"fractionSplit": fractions(*given_fractions)})
    except ValueError as error:
        assert sum(given_fractions) > 1 and "sum to at most 1" in str(error)
    else:
        assert sum(split.fractions) == pytest.approx(1)
        assert split.fractions[1:] == tuple(given_fractions[1:]) or sum(given_fractions) == 0


@pytest.mark.parametrize(
    ("text", "config", "said"),
    [
        ("", {}, "t.csv: row 1 (the header): empty"),
        ("a,b,a\n", {}, "column 'a' is there twice"),
        ("a,,c\n", {}, "column 2 has no name"),
        ("a,b\n1,2\n\n3\n", {}, "t.csv: row 3 (line 4): 1 values; expected 2"),
        (b"a,b\n1,\xe9\n", {}, "byte 0xe9 is no UTF-8 text"),
        ('a,b\n1,"2\n', {}, "line 2: unexpected end of data"),
        ("a,b\n1,2\n", {"predefinedSplit": {"key": "c"}}, "predefinedSplit.key 'c': no such column"),
        ("a,b\n1,2\n", {"timestampSplit": fractions(1, 0, 0, key="a")}, "no row has a time such as 1985"),
        ("a,b\n1,2\n", {"stratifiedSplit": fractions(1, 0, 0)}, "stratifiedSplit.key: empty"),
        ("a,b\n1,2\n", {"filterSplit": {"trainingFilter": "-"}}, "filterSplit.validationFilter: empty"),
    ],
)
def test_bad_data_end_in_a_line_that_names_file_and_row(put, text, config, said):
    with pytest.raises(ValueError) as error:
        sets(put(text), config)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_several_files_share_the_header_of_the_first(put, tmp_path):
    put("b\n3\n", "z.csv")
    put("a\n2\n", "y.csv")
    put("a\n1\n", "x.csv")
    table = Table(PlainObjects(tmp_path), ["gs://bucket/y.csv", "gs://bucket/x.csv"])
    assert [*table.rows()] == [["1"], ["2"]]
    both = Table(PlainObjects(tmp_path), ["gs://bucket/*.csv"])
    assert [*both.rows()] == [["1"], ["2"], ["b"], ["3"]]  # a first line that is no header is a row
    with pytest.raises(DataError, match="gone"):
        Table(PlainObjects(tmp_path), ["gs://bucket/gone*.csv"])
