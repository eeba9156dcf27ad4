"""Parameter values: JSON values, their types, and how they are written as text.

On the wire every number is a double (`google.protobuf.Value`), but protojson prints 2, not 2.0, so a task
sees an integer wherever the number is integral, in lists and structs too. (kubeflow/pipelines,
backend/src/v2/metadata/converter.go, 2026-08-21; the local runner of kfp 2.17 hands out 2.0,
kubeflow/pipelines#11004.)
"""

import json
import math
from typing import Any

# The IR's parameter types (kubeflow/pipelines, api/v2alpha1/pipeline_spec.proto, ParameterType, 2026-08-21).
PARAMETER_TYPES = {
    "NUMBER_DOUBLE": "a number",
    "NUMBER_INTEGER": "an integer",
    "STRING": "a string",
    "BOOLEAN": "true or false",
    "LIST": "a list",
    "STRUCT": "a struct (JSON object)",
    "TASK_FINAL_STATUS": "a final status (JSON object)",
    "TASK_CONFIG": "a task configuration (JSON object)",
}

_EXACT = 2**53  # beyond it a double no longer holds every integer


class WrongType(ValueError):
    """A value is not of the type its parameter is declared with; the message says both."""


def normalise(value: Any) -> Any:
    """The value with every integral number as an integer, at any depth.

    Raises:
        WrongType: NaN or an infinity, which JSON cannot carry.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise WrongType(f"{value} is no JSON number")
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    if isinstance(value, list | tuple):
        return [normalise(item) for item in value]
    if isinstance(value, dict):
        return {str(key): normalise(item) for key, item in value.items()}
    return value


def is_of_type(value: Any, parameter_type: str) -> bool:
    """Whether a value is of a parameter type, strictly: "1" is no number and true is no integer.

    Args:
        value: A JSON value, not null.
        parameter_type: A key of PARAMETER_TYPES.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match parameter_type:
        case "NUMBER_DOUBLE":
            return number
        case "NUMBER_INTEGER":
            return number and (isinstance(value, int) or value.is_integer())
        case "STRING":
            return isinstance(value, str)
        case "BOOLEAN":
            return isinstance(value, bool)
        case "LIST":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)


def checked(value: Any, parameter_type: str) -> Any:
    """The value, normalised, when it is strictly of the type.

    Raises:
        WrongType: It is not.
    """
    if not is_of_type(value, parameter_type):
        raise WrongType(f"{_shown(value)} is not {PARAMETER_TYPES[parameter_type]} ({parameter_type})")
    return normalise(value)


def converted(value: Any, parameter_type: str) -> Any:
    """A task's input as its declared type: a STRING takes any value as text, other types must match.

    Raises:
        WrongType: The value is of another type.
    """
    return text(value) if parameter_type == "STRING" else checked(value, parameter_type)


def text(value: Any) -> str:
    """A value as it stands in a string: 3.0 as 3, true in lower case, lists and structs as JSON."""
    value = normalise(value)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False)


def parsed(content: str, parameter_type: str) -> Any:
    """The value that a task wrote to an output parameter's file.

    Raises:
        WrongType: The text is not of the type.
    """
    if parameter_type == "STRING":
        return content
    stripped = content.strip()
    if parameter_type == "BOOLEAN":
        # What Go's strconv.ParseBool takes, which the KFP launcher reads outputs with.
        if stripped in {"1", "t", "T", "true", "TRUE", "True"}:
            return True
        if stripped in {"0", "f", "F", "false", "FALSE", "False"}:
            return False
        raise WrongType(f"{_shown(content)} is not true or false (BOOLEAN)")
    try:
        return checked(json.loads(stripped), parameter_type)
    except (json.JSONDecodeError, RecursionError):
        raise WrongType(
            f"{_shown(content)} is not {PARAMETER_TYPES[parameter_type]} ({parameter_type})"
        ) from None


def _shown(value: Any) -> str:
    written = json.dumps(value, ensure_ascii=False, default=str)
    return written if len(written) <= 80 else written[:77] + "..."
