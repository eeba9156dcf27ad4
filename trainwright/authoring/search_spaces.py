"""Search spaces of hyperparameter tuning as typed values; they render to the API's `StudySpec` (v1).

    space = {
        "learning_rate": Double(1e-4, 1e-1, scale="log"),
        "max_depth": Integer(2, 10),
        "booster": Categorical(
            ["gbtree", "dart"], children=[Child(["dart"], "rate_drop", Double(0.0, 0.5))]
        ),
    }
    study_spec_parameters(space)

Rules: Vertex AI API v1, `StudySpec`, and documentation "Hyperparameter tuning", 2026-08-22.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainwright.authoring.errors import Impossible
from trainwright.authoring.runtime import is_runtime
from trainwright.nearest import nearest

Scale = Literal["linear", "log", "reverse_log"]
SCALES = {"linear": "UNIT_LINEAR_SCALE", "log": "UNIT_LOG_SCALE", "reverse_log": "UNIT_REVERSE_LOG_SCALE"}
GOALS = {"maximize": "MAXIMIZE", "minimize": "MINIMIZE"}
MAX_DISCRETE_VALUES = 1000
MIN_DISCRETE_DISTANCE = 1e-10


@dataclass(frozen=True)
class Child:
    """A parameter that exists only where its parent has certain values: `ConditionalParameterSpec`.

    Attributes:
        values: The parent's values for which it exists.
        name: The child's name.
        space: The child's values.
    """

    values: Sequence[Any]
    name: str
    space: "Space"


@dataclass(frozen=True)
class Double:
    """A real number between two, both included.

    Attributes:
        min: Least value.
        max: Greatest value.
        scale: "linear", "log" or "reverse_log"; both logs need values above 0.

    Raises:
        Impossible: There is no such range.
    """

    min: Any
    max: Any
    scale: Scale = "linear"

    def __post_init__(self) -> None:
        """Checks the range."""
        _check_range(self)

    def value_spec(self) -> dict[str, Any]:
        """The part of the API's `ParameterSpec` that says the values."""
        return {
            "double_value_spec": {"min_value": self.min, "max_value": self.max},
            "scale_type": SCALES[self.scale],
        }


@dataclass(frozen=True)
class Integer:
    """A whole number between two, both included.

    Attributes:
        min: Least value.
        max: Greatest value.
        scale: "linear", "log" or "reverse_log"; both logs need values above 0.
        children: Parameters that exist for some of its values.

    Raises:
        Impossible: There is no such range.
    """

    min: Any
    max: Any
    scale: Scale = "linear"
    children: Sequence[Child] = ()

    def __post_init__(self) -> None:
        """Checks the range and the children."""
        for value in (self.min, self.max):
            if not is_runtime(value) and type(value) is not int:
                raise Impossible(f"{self!r}: {value!r} is no integer")
        _check_range(self)
        if not is_runtime(self.min) and not is_runtime(self.max):
            _check_children(
                self.children, lambda value: type(value) is int and self.min <= value <= self.max, self
            )

    def value_spec(self) -> dict[str, Any]:
        """The part of the API's `ParameterSpec` that says the values."""
        return {
            "integer_value_spec": {"min_value": self.min, "max_value": self.max},
            "scale_type": SCALES[self.scale],
            **_conditional(self.children, "parent_int_values"),
        }


@dataclass(frozen=True)
class Discrete:
    """One of some numbers, such as batch sizes.

    Attributes:
        values: In ascending order, at least 1e-10 apart, at most 1,000.
        scale: "linear", "log" or "reverse_log"; both logs need values above 0.
        children: Parameters that exist for some of its values.

    Raises:
        Impossible: There are no such values.
    """

    values: Sequence[Any]
    scale: Scale = "linear"
    children: Sequence[Child] = ()

    def __post_init__(self) -> None:
        """Checks the values and the children."""
        _check_scale(self.scale, self)
        if not 1 <= len(self.values) <= MAX_DISCRETE_VALUES:
            raise Impossible(f"Discrete of {len(self.values)} values, expected 1 to {MAX_DISCRETE_VALUES:,}")
        if any(is_runtime(value) for value in self.values):
            return
        for value in self.values:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise Impossible(f"{self!r}: {value!r} is no number")
        for before, after in zip(self.values, self.values[1:], strict=False):
            if after - before < MIN_DISCRETE_DISTANCE:
                raise Impossible(f"{self!r}: {before!r} before {after!r}, expected ascending values")
        if self.scale != "linear" and self.values[0] <= 0:
            raise Impossible(f"{self!r}: scale {self.scale!r} needs values above 0")
        _check_children(self.children, lambda value: value in self.values, self)

    def value_spec(self) -> dict[str, Any]:
        """The part of the API's `ParameterSpec` that says the values."""
        return {
            "discrete_value_spec": {"values": list(self.values)},
            "scale_type": SCALES[self.scale],
            **_conditional(self.children, "parent_discrete_values"),
        }


@dataclass(frozen=True)
class Categorical:
    """One of some texts.

    Attributes:
        values: The texts, each once.
        children: Parameters that exist for some of its values.

    Raises:
        Impossible: There are no such values.
    """

    values: Sequence[Any]
    children: Sequence[Child] = ()

    def __post_init__(self) -> None:
        """Checks the values and the children."""
        if not self.values:
            raise Impossible("Categorical of no values, expected at least 1")
        known = [value for value in self.values if not is_runtime(value)]
        for value in known:
            if not isinstance(value, str):
                raise Impossible(f"{self!r}: {value!r} is no text; use Discrete for numbers")
        if len(set(known)) < len(known):
            raise Impossible(f"{self!r}: a value twice")
        if len(known) == len(self.values):
            _check_children(self.children, lambda value: value in self.values, self)

    def value_spec(self) -> dict[str, Any]:
        """The part of the API's `ParameterSpec` that says the values."""
        return {
            "categorical_value_spec": {"values": list(self.values)},
            **_conditional(self.children, "parent_categorical_values"),
        }


Space = Double | Integer | Discrete | Categorical


def study_spec_parameters(space: Mapping[str, Space]) -> list[dict[str, Any]]:
    """Renders a search space to `StudySpec.parameters`.

    Args:
        space: The values of each hyperparameter, by name; the program gets each as `--name=value`.

    Returns:
        What `HyperparameterTuningJobRunOp(study_spec_parameters=…)` and the API take.

    Raises:
        Impossible: The space is empty, or a name is not one that a flag can have.
    """
    if not space:
        raise Impossible("a search space without parameters, expected at least 1")
    return [_parameter_spec(name, values) for name, values in space.items()]


def study_spec_metrics(metrics: Mapping[str, Literal["maximize", "minimize"]]) -> list[dict[str, Any]]:
    """Renders the metrics of a study to `StudySpec.metrics`.

    Args:
        metrics: Goal of each metric, by the name that the program reports it by; no spaces in it.

    Raises:
        Impossible: There is none, or a name or goal is not what it must be.
    """
    if not metrics:
        raise Impossible("a study without metrics, expected at least 1")
    for name, goal in metrics.items():
        if not is_runtime(name) and (not name or re.search(r"\s", name)):
            raise Impossible(f"metric {name!r}, expected a name without spaces")
        if not is_runtime(goal) and goal not in GOALS:
            raise Impossible(f"metric {name}: goal {goal!r}, {nearest(str(goal), GOALS)}")
    return [{"metric_id": name, "goal": GOALS.get(goal, goal)} for name, goal in metrics.items()]


def _parameter_spec(name: str, space: Space) -> dict[str, Any]:
    if not is_runtime(name) and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name):
        raise Impossible(f"hyperparameter {name!r}, expected letters, digits, _, - and .")
    return {"parameter_id": name, **space.value_spec()}


def _conditional(children: Sequence[Child], key: str) -> dict[str, Any]:
    if not children:
        return {}
    specs = [
        {key: {"values": list(child.values)}, "parameter_spec": _parameter_spec(child.name, child.space)}
        for child in children
    ]
    return {"conditional_parameter_specs": specs}


def _check_range(space: Double | Integer) -> None:
    _check_scale(space.scale, space)
    if is_runtime(space.min) or is_runtime(space.max):
        return
    for value in (space.min, space.max):
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
            raise Impossible(f"{space!r}: {value!r} is no number")
    if space.min > space.max:
        raise Impossible(f"{space!r}: min above max")
    if space.scale != "linear" and space.min <= 0:
        raise Impossible(f"{space!r}: scale {space.scale!r} needs min above 0")


def _check_scale(scale: str, space: Space) -> None:
    if scale not in SCALES:
        raise Impossible(f"{type(space).__name__} with scale {scale!r}, {nearest(scale, SCALES)}")


def _check_children(children: Sequence[Child], allowed: Any, parent: Space) -> None:
    seen: set[tuple[str, Any]] = set()
    for child in children:
        if not child.values:
            raise Impossible(f"child {child.name!r} of {parent!r}: no value of the parent")
        for value in child.values:
            if is_runtime(value):
                continue
            if not allowed(value):
                raise Impossible(f"child {child.name!r}: {value!r} is none of the parent's values")
            if (child.name, value) in seen:
                raise Impossible(f"child {child.name!r} twice for the parent's value {value!r}")
            seen.add((child.name, value))
