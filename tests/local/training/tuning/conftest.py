from typing import Any

from hypothesis import strategies as st


def job(*parameters: dict, metrics: dict[str, str] | None = None, **fields: Any) -> dict:
    """A HyperparameterTuningJob as JSON; fields of the study are given beside its own."""
    own = ("maxTrialCount", "parallelTrialCount", "maxFailedTrialCount")
    study = {name: value for name, value in fields.items() if name not in own}
    goals = {"score": "MAXIMIZE"} if metrics is None else metrics
    return {
        "maxTrialCount": 10,
        "parallelTrialCount": 2,
        **{name: value for name, value in fields.items() if name in own},
        "studySpec": {
            "parameters": list(parameters or [integer("x", 1, 3)]),
            "metrics": [{"metricId": name, "goal": goal} for name, goal in goals.items()],
            **study,
        },
    }


def double(name: str, low: float, high: float, **fields: Any) -> dict:
    return {"parameterId": name, "doubleValueSpec": {"minValue": low, "maxValue": high}, **fields}


def integer(name: str, low: int, high: int, **fields: Any) -> dict:
    # int64 is text in the JSON of protobuf
    return {
        "parameterId": name,
        "integerValueSpec": {"minValue": str(low), "maxValue": str(high)},
        **fields,
    }


def categorical(name: str, *values: str, **fields: Any) -> dict:
    return {"parameterId": name, "categoricalValueSpec": {"values": list(values)}, **fields}


def discrete(name: str, *values: float, **fields: Any) -> dict:
    return {"parameterId": name, "discreteValueSpec": {"values": list(values)}, **fields}


_SCALES = st.sampled_from(
    ["SCALE_TYPE_UNSPECIFIED", "UNIT_LINEAR_SCALE", "UNIT_LOG_SCALE", "UNIT_REVERSE_LOG_SCALE"]
)


@st.composite
def parameters(draw: st.DrawFn, name: str = "p", depth: int = 2, doubles: bool = True) -> dict:
    """A parameter of any type and scale, with others that depend on it."""
    kinds = ["INTEGER", "CATEGORICAL", "DISCRETE"] + (["DOUBLE"] if doubles else [])
    kind = draw(st.sampled_from(kinds))
    if kind == "CATEGORICAL":
        spec = categorical(
            name, *draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True))
        )
        condition, values = "parentCategoricalValues", spec["categoricalValueSpec"]["values"]
    elif kind == "DISCRETE":
        ranks = draw(st.lists(st.integers(1, 500), min_size=1, max_size=4, unique=True))
        spec = discrete(name, *sorted(rank / 4 for rank in ranks), scaleType=draw(_SCALES))
        condition, values = "parentDiscreteValues", spec["discreteValueSpec"]["values"]
    elif kind == "INTEGER":
        low = draw(st.integers(1, 50))
        spec = integer(name, low, low + draw(st.integers(0, 6)), scaleType=draw(_SCALES))
        high = int(spec["integerValueSpec"]["maxValue"])
        condition, values = "parentIntValues", [str(value) for value in range(low, high + 1)]
    else:
        low = draw(st.floats(1e-6, 10))
        return double(name, low, low + draw(st.floats(1e-3, 1e3)), scaleType=draw(_SCALES))
    if depth and draw(st.booleans()):
        at = draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
        child = draw(parameters(f"{name}c", depth - 1, doubles))
        spec["conditionalParameterSpecs"] = [{condition: {"values": at}, "parameterSpec": child}]
    return spec


def spaces(doubles: bool = True) -> st.SearchStrategy[list[dict]]:
    """One to three parameters."""
    return st.integers(1, 3).flatmap(
        lambda count: st.tuples(*(parameters(f"p{number}", doubles=doubles) for number in range(count))).map(
            list
        )
    )
