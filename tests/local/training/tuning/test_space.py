import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings

from trainwright.local.training.tuning.coordinates import Coordinates
from trainwright.local.training.tuning.distributions import distribution_of, inside, outside
from trainwright.local.training.tuning.space import active, arguments, every, parameters_of
from trainwright.local.training.tuning.study import study_of
from trainwright.local.training.tuning.suggestions import grid

_spec = importlib.util.spec_from_file_location("tuning_conftest", Path(__file__).parent / "conftest.py")
support = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(support)
double, integer, categorical, discrete = (
    support.double,
    support.integer,
    support.categorical,
    support.discrete,
)
LOG = {"scaleType": "UNIT_LOG_SCALE"}


def conditional(field: str, values: list, child: dict) -> dict:
    return {field: {"values": values}, "parameterSpec": child}


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (support.job(metrics={}), r"studySpec.metrics: empty"),
        (support.job(metrics={"a b": "MAXIMIZE"}), r"metrics\[0\].metricId: 'a b'"),
        (
            support.job(metrics={})
            | {"studySpec": {"parameters": [integer("x", 1, 2)], "metrics": [{"metricId": "m"}] * 2}},
            r"metrics\[1\].metricId: 'm' is there twice",
        ),
        (support.job(integer("x y", 1, 2)), r"parameters\[0\].parameterId: 'x y'"),
        (support.job({"parameterId": "x"}), r"parameters\[0\] \(x\): no value spec"),
        (support.job(integer("x", 1, 2), double("x", 0, 1)), r"'x' is there twice"),
        (support.job(double("x", 1, 0)), r"doubleValueSpec: from 1 to 0; expected minValue <= maxValue"),
        (
            support.job(double("x", 0, 1, **LOG)),
            r"UNIT_LOG_SCALE with the smallest value 0; expected one above 0",
        ),
        (support.job(integer("x", -1, 1, scaleType="UNIT_REVERSE_LOG_SCALE")), r"REVERSE_LOG.* -1; expected"),
        (support.job(discrete("x", 0, 1, **LOG)), r"expected one above 0"),
        (support.job(categorical("x", "a", **LOG)), r"expected none for a CATEGORICAL"),
        (support.job(categorical("x")), r"values: empty"),
        (support.job(categorical("x", "a", "a")), r"'a' is there twice"),
        (support.job(discrete("x", 2, 1)), r"values: 1.0 after 2.0; expected increasing"),
        (support.job(discrete("x", 1, 1 + 1e-11)), r"expected increasing values, 1e-10 apart"),
        (support.job(discrete("x", *range(1001))), r"1001 values; expected 1000 at most"),
        (support.job({**double("x", 0, 1), "doubleValueSpec": {"defaultValue": 1}}), r"defaultValue: is for"),
        (
            support.job(double("x", 0, 1), algorithm="GRID_SEARCH"),
            r"GRID_SEARCH with the DOUBLE parameter 'x'",
        ),
        (support.job(observationNoise="HIGH"), r"observationNoise: is for Vertex AI Vizier"),
        (support.job(maxTrialCount=0), r"maxTrialCount: 0; expected 1 or more"),
        (support.job(parallelTrialCount=-1), r"parallelTrialCount: -1; expected 1 or more"),
        (support.job(maxFailedTrialCount=11), r"maxFailedTrialCount: 11; expected 0 to maxTrialCount"),
        (
            support.job(metrics={"a": "MAXIMIZE", "b": "MINIMIZE"}, medianAutomatedStoppingSpec={}),
            r"medianAutomatedStoppingSpec: with 2 metrics",
        ),
        (
            support.job(convexAutomatedStoppingSpec={"learningRateParameterName": "lr"}),
            r"learningRateParameterName: 'lr' is no numeric parameter",
        ),
        (
            support.job(studyStoppingConfig={"minNumTrials": 4, "maxNumTrials": 3}),
            r"minNumTrials 4 is more than maxNumTrials 3",
        ),
        (
            support.job(
                integer(
                    "x",
                    1,
                    2,
                    conditionalParameterSpecs=[conditional("parentIntValues", ["3"], double("y", 0, 1))],
                )
            ),
            r"conditionalParameterSpecs\[0\].parentIntValues.values: 3 is no value of 'x'",
        ),
        (
            support.job(
                integer(
                    "x",
                    1,
                    2,
                    conditionalParameterSpecs=[conditional("parentDiscreteValues", [1], double("y", 0, 1))],
                )
            ),
            r"parentDiscreteValues; expected parentIntValues, since the parent is of type INTEGER",
        ),
        (
            support.job(
                categorical(
                    "x",
                    "a",
                    "b",
                    conditionalParameterSpecs=[
                        conditional("parentCategoricalValues", ["a", "b"], double("y", 0, 1)),
                        conditional("parentCategoricalValues", ["b"], double("y", 0, 2)),
                    ],
                )
            ),
            r"'y' is there twice",
        ),
    ],
)
def test_what_is_not_as_documented_is_refused(job: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study_of(job)


def test_children_at_different_values_may_share_an_id() -> None:
    study = study_of(
        support.job(
            categorical(
                "kind",
                "a",
                "b",
                conditionalParameterSpecs=[
                    conditional("parentCategoricalValues", ["a"], integer("size", 1, 2)),
                    conditional("parentCategoricalValues", ["b"], integer("size", 7, 8)),
                ],
            ),
            algorithm="GRID_SEARCH",
        )
    )
    assert list(grid(study.parameters)) == [
        {"kind": "a", "size": 1},
        {"kind": "a", "size": 2},
        {"kind": "b", "size": 7},
        {"kind": "b", "size": 8},
    ]


def test_arguments_have_no_fraction_where_there_is_none() -> None:
    given = {"units": 64.0, "rate": 0.001, "depth": 3, "kind": "a b"}
    assert arguments(given) == ["--units=64", "--rate=0.001", "--depth=3", "--kind=a b"]


@given(support.spaces(doubles=False))
@settings(max_examples=50, deadline=None)
def test_a_grid_holds_every_combination_once_and_they_survive_every_translation(specs: list[dict]) -> None:
    parameters = parameters_of(specs)
    coordinates = Coordinates(parameters)
    seen = set()
    for number, chosen in enumerate(grid(parameters)):
        nodes = list(active(parameters, chosen))
        assert sorted(node.id for node in nodes) == sorted(chosen)
        key = tuple(sorted(chosen.items()))
        assert key not in seen
        seen.add(key)
        by_key = {node.key: chosen[node.id] for node in nodes}
        for node in nodes:
            drawn = inside(node, chosen[node.id])
            distribution = distribution_of(node)
            assert distribution._contains(distribution.to_internal_repr(drawn))
            assert outside(node, drawn) == chosen[node.id]
        position = coordinates.position(by_key)
        assert coordinates.values(position) == by_key
        point = coordinates.points(position[None, :])[0]
        assert ((point >= 0) & (point <= 1)).all() and len(point) == len(coordinates.groups)
        if number == 200:
            return
    assert len(seen) == _count(parameters)


def _count(parameters) -> int:
    total = 1
    for parameter in parameters:
        values = parameter.values or range(int(parameter.low), int(parameter.high) + 1)
        total *= sum(_count(tuple(parameter.active(value))) for value in values)
    return total


def test_every_lists_parents_first() -> None:
    child = conditional("parentIntValues", ["1"], double("y", 0, 1))
    found = every(parameters_of([integer("x", 1, 2, conditionalParameterSpecs=[child]), double("z", 0, 1)]))
    assert [(parameter.id, parameter.key) for parameter in found] == [("x", "0"), ("y", "0.0"), ("z", "1")]
