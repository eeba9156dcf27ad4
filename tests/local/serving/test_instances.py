"""Rows of batch predictions: what is sent and what is written, by the rules of InstanceConfig."""

import json

import pytest

from trainwright.local.serving.instances import (
    Instance,
    InstanceConfig,
    Malformed,
    batches,
    check,
    read_csv,
    read_jsonl,
)

ROW = {"id": 7, "a": 1, "b": 2}


def one(row, **config):
    (found,) = read_jsonl([json.dumps(row)], InstanceConfig(**config))
    return found


@pytest.mark.parametrize(
    ("row", "config", "sent", "shown"),
    [
        ([1, 2], {}, [1, 2], {"instance": [1, 2]}),
        ("text", {}, "text", {"instance": "text"}),
        (ROW, {}, ROW, {"instance": ROW}),
        (ROW, {"key_field": "id"}, {"a": 1, "b": 2}, {"key": 7}),
        (ROW, {"included_fields": ["b", "a"], "instance_type": "array"}, [2, 1], {"instance": [2, 1]}),
        (ROW, {"excluded_fields": ["id"]}, {"a": 1, "b": 2}, {"instance": {"a": 1, "b": 2}, "id": 7}),
        (ROW, {"key_field": "id", "included_fields": ["a"]}, {"a": 1}, {"key": 7}),
    ],
)
def test_a_row_becomes_an_instance(row, config, sent, shown):
    assert one(row, **config) == Instance(sent, shown)


@pytest.mark.parametrize(
    ("row", "config", "reason"),
    [
        ([1], {"key_field": "id"}, "expected a JSON object"),
        ([1], {"instance_type": "object"}, "expected a JSON object"),
        (ROW, {"key_field": "c"}, "no field 'c'"),
        (ROW, {"instance_type": "array"}, "includedFields"),
    ],
)
def test_a_row_without_what_is_asked_for_is_an_error_in_its_place(row, config, reason):
    found = one(row, **config)
    assert isinstance(found, Malformed)
    assert reason in str(found)


def test_csv_has_a_header_and_numbers_unless_quoted():
    lines = ['"a","b"\n', '1,"x"\n', "2,y\n", "3\n", '4.5,"z"\n']
    found = [*read_csv(iter(lines), InstanceConfig())]
    assert found[0] == Instance([1.0, "x"], {"instance": [1.0, "x"]})
    assert [type(row) for row in found] == [Instance, Malformed, Malformed, Instance]
    keyed = [*read_csv(iter(lines[:2]), InstanceConfig(key_field="b"))]
    assert keyed == [Instance([1.0], {"key": "x"})]
    assert [*read_csv(iter([]), InstanceConfig())] == []


def test_instances_go_in_batches():
    assert [*batches(range(5), 2)] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"instance_type": "tensor"}, "jsonl"),
        ({"included_fields": ["a"], "excluded_fields": ["b"]}, "jsonl"),
        ({"key_field": "a"}, "file-list"),
        ({"included_fields": ["a"]}, "csv"),
    ],
)
def test_a_configuration_must_fit_its_format(config, kind):
    with pytest.raises(ValueError, match="instanceConfig"):
        check(InstanceConfig(**config), kind)
