"""The parameters of a study, which may depend on one another, as plain values.

After StudySpec.ParameterSpec (google-cloud-aiplatform 1.165.1, types/study.py), as camelCase JSON.
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Value = str | int | float
"""Of a parameter: text for CATEGORICAL, a whole number for INTEGER, else a number."""

_MOST_DISCRETE = 1000
_APART = 1e-10
_KINDS = {
    "doubleValueSpec": "DOUBLE",
    "integerValueSpec": "INTEGER",
    "categoricalValueSpec": "CATEGORICAL",
    "discreteValueSpec": "DISCRETE",
}
_CONDITIONS = {
    "parentDiscreteValues": "DISCRETE",
    "parentIntValues": "INTEGER",
    "parentCategoricalValues": "CATEGORICAL",
}
_SCALES = {
    "SCALE_TYPE_UNSPECIFIED": "",
    "UNIT_LINEAR_SCALE": "LINEAR",
    "UNIT_LOG_SCALE": "LOG",
    "UNIT_REVERSE_LOG_SCALE": "REVERSE_LOG",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter, with those that are there only at some of its values.

    Attributes:
        id: Its parameter_id.
        key: Unlike the id, no two have the same: "2.0" is the first child of the third parameter.
        kind: DOUBLE, INTEGER, CATEGORICAL or DISCRETE.
        scale: LINEAR, LOG, REVERSE_LOG, or empty when the spec leaves it open.
        low: Smallest value of a DOUBLE, INTEGER or DISCRETE.
        high: Largest value of these.
        values: Those of a CATEGORICAL or DISCRETE, the latter in increasing order.
        parent_values: At which values of its parent it is there; empty for one that always is.
        children: The parameters that depend on it.
    """

    id: str
    key: str
    kind: str
    scale: str
    low: float = 0.0
    high: float = 0.0
    values: tuple[Value, ...] = ()
    parent_values: tuple[Value, ...] = ()
    children: tuple["Parameter", ...] = ()

    def active(self, value: Value) -> Iterator["Parameter"]:
        """The children that are there when this parameter has `value`."""
        return (child for child in self.children if any(_same(value, at) for at in child.parent_values))


def parameters_of(specs: Sequence[dict], where: str = "studySpec.parameters") -> tuple[Parameter, ...]:
    """The parameters of a study.

    Args:
        specs: StudySpec.parameters.
        where: Names them in errors.

    Raises:
        ValueError: They are not as documented; one line that names the field.
    """
    if not specs:
        raise ValueError(f"{where}: empty; expected at least one parameter")
    found = tuple(
        _parameter(spec, str(number), (), f"{where}[{number}]") for number, spec in enumerate(specs)
    )
    _check_names(found, where)
    return found


def every(parameters: Sequence[Parameter]) -> Iterator[Parameter]:
    """All parameters, each before those that depend on it."""
    for parameter in parameters:
        yield parameter
        yield from every(parameter.children)


def active(parameters: Sequence[Parameter], chosen: Mapping[str, Value]) -> Iterator[Parameter]:
    """The parameters that are there in a trial, each before those that depend on it.

    Args:
        parameters: Of the study, or those below one.
        chosen: The trial's values by parameter id; may be filled while the iterator is used.
    """
    for parameter in parameters:
        yield parameter
        yield from active(tuple(parameter.active(chosen[parameter.id])), chosen)


def arguments(chosen: Mapping[str, Value]) -> list[str]:
    """A trial's parameters as Vertex AI passes them: `--ID=VALUE` each, whole numbers without a fraction.

    (Documentation, "Create a hyperparameter tuning job", 2026-08-22: "passed as command-line arguments".)
    """
    return [f"--{name}={_text(value)}" for name, value in chosen.items()]


def _text(value: Value) -> str:
    # DISCRETE values are doubles, yet samples of Vertex AI read `--units=64` with argparse's type=int.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _parameter(spec: dict, key: str, parent_values: tuple[Value, ...], where: str) -> Parameter:
    parameter_id = spec.get("parameterId", "")
    if not parameter_id or re.search(r"\s", parameter_id):
        raise ValueError(f"{where}.parameterId: {parameter_id!r}; expected a name without white space")
    where = f"{where} ({parameter_id})"
    found = [field for field in _KINDS if field in spec]
    if not found:
        raise ValueError(f"{where}: no value spec; expected one of {', '.join(_KINDS)}")
    kind, values = _KINDS[found[0]], spec[found[0]]
    if "defaultValue" in values:
        raise ValueError(
            f"{where}.{found[0]}.defaultValue: is for Vertex AI Vizier, not for hyperparameter tuning jobs"
        )
    scale = _SCALES[spec.get("scaleType", "SCALE_TYPE_UNSPECIFIED")]
    low = high = 0.0
    choices: tuple[Value, ...] = ()
    if kind in ("DOUBLE", "INTEGER"):
        low, high = _range(values, kind, f"{where}.{found[0]}")
    else:
        choices = _choices(values, kind, f"{where}.{found[0]}")
    if kind == "CATEGORICAL" and scale:
        raise ValueError(f"{where}.scaleType: {spec['scaleType']}; expected none for a CATEGORICAL parameter")
    if kind == "DISCRETE":
        low, high = float(choices[0]), float(choices[-1])
    if scale.endswith("LOG") and low <= 0:
        raise ValueError(
            f"{where}.scaleType: {spec['scaleType']} with the smallest value {low:g}; expected one above 0"
        )
    parameter = Parameter(parameter_id, key, kind, scale, low, high, choices, parent_values)
    children = tuple(
        _child(parameter, child, number, where)
        for number, child in enumerate(spec.get("conditionalParameterSpecs", ()))
    )
    return Parameter(parameter_id, key, kind, scale, low, high, choices, parent_values, children)


def _range(values: dict, kind: str, where: str) -> tuple[float, float]:
    low, high = float(values.get("minValue", 0)), float(values.get("maxValue", 0))
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"{where}: from {low:g} to {high:g}; expected minValue <= maxValue, both finite")
    if kind == "INTEGER" and max(abs(low), abs(high)) > 2**53:
        raise ValueError(f"{where}: from {low:g} to {high:g}; expected whole numbers up to 2^53")
    return low, high


def _choices(values: dict, kind: str, where: str) -> tuple[Value, ...]:
    found = tuple(values.get("values", ()))
    if not found:
        raise ValueError(f"{where}.values: empty; expected at least one value")
    if kind == "CATEGORICAL":
        repeated = next((value for value in found if found.count(value) > 1), None)
        if repeated is not None:
            raise ValueError(f"{where}.values: {repeated!r} is there twice")
        return found
    if len(found) > _MOST_DISCRETE:
        raise ValueError(f"{where}.values: {len(found)} values; expected {_MOST_DISCRETE} at most")
    numbers = tuple(float(value) for value in found)
    for before, after in itertools.pairwise(numbers):
        if not after - before >= _APART:
            raise ValueError(
                f"{where}.values: {after!r} after {before!r}; expected increasing values, 1e-10 apart"
            )
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{where}.values: expected finite numbers")
    return numbers


def _child(parent: Parameter, spec: dict, number: int, where: str) -> Parameter:
    where = f"{where}.conditionalParameterSpecs[{number}]"
    conditions = [field for field in _CONDITIONS if field in spec]
    if not conditions or _CONDITIONS[conditions[0]] != parent.kind:
        wanted = next((field for field, kind in _CONDITIONS.items() if kind == parent.kind), None)
        if wanted is None:
            raise ValueError(f"{where}: no parameter can depend on one of type DOUBLE")
        raise ValueError(
            f"{where}: {conditions[0] if conditions else 'no condition'}; expected {wanted},"
            f" since the parent is of type {parent.kind}"
        )
    values = tuple(spec[conditions[0]].get("values", ()))
    if parent.kind != "CATEGORICAL":
        values = tuple(int(value) if parent.kind == "INTEGER" else float(value) for value in values)
    if not values:
        raise ValueError(f"{where}.{conditions[0]}.values: empty; expected values of {parent.id!r}")
    for value in values:
        if not _is_of(parent, value):
            raise ValueError(f"{where}.{conditions[0]}.values: {value!r} is no value of {parent.id!r}")
    return _parameter(spec.get("parameterSpec", {}), f"{parent.key}.{number}", values, where)


def _is_of(parent: Parameter, value: Value) -> bool:
    if parent.kind == "INTEGER":
        return parent.low <= float(value) <= parent.high
    return any(_same(value, other) for other in parent.values)


def _same(value: Value, other: Value) -> bool:
    if isinstance(value, str) or isinstance(other, str):
        return value == other
    return abs(value - other) < _APART


def _check_names(parameters: Sequence[Parameter], where: str) -> None:
    """No trial may hold two parameters of one id: only below different values of one parent there are two."""
    by_key = {parameter.key: parameter for parameter in every(parameters)}
    by_id: dict[str, list[Parameter]] = {}
    for parameter in by_key.values():
        for other in by_id.setdefault(parameter.id, []):
            if _meet(parameter.key.split("."), other.key.split("."), by_key):
                raise ValueError(f"{where}: {parameter.id!r} is there twice")
        by_id[parameter.id].append(parameter)


def _meet(path: Sequence[str], other: Sequence[str], by_key: Mapping[str, Parameter]) -> bool:
    """Whether one trial can hold both parameters."""
    shared = next(
        (depth for depth, pair in enumerate(zip(path, other, strict=False)) if pair[0] != pair[1]),
        min(len(path), len(other)),
    )
    if shared in (0, len(path), len(other)):
        return True
    left, right = (by_key[".".join(each[: shared + 1])].parent_values for each in (path, other))
    return any(_same(value, at) for value in left for at in right)
