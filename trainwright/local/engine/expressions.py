"""Conditions and parameter selectors: the Common Expression Language, evaluated by cel-python.

cel-python parses CEL and has its functions; what it lacks of cel-go, which Vertex AI and KFP evaluate with,
is set here: numbers of different types compare by value (1 == 1.0), and values of different kinds are unequal
rather than an error. Conditions see what protobuf gives cel-go: every number of an input is a double.
(kubeflow/pipelines, backend/src/v2/expression/expression.go, 2026-08-21.)
"""

import functools
import json
import operator
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainwright.local.engine.values import WrongType, normalise, text

# The parser's state is shared between programs of one environment.
_LOCK = threading.RLock()


class ExpressionError(ValueError):
    """An expression does not parse, or cannot be evaluated with these inputs. Its task fails."""


def holds(
    condition: str, parameters: Mapping[str, Any], artifacts: Mapping[str, Sequence[Mapping[str, Any]]]
) -> bool:
    """Whether a trigger condition is true.

    Args:
        condition: CEL over `inputs`.
        parameters: The task's own resolved inputs.
        artifacts: Likewise; each artifact with name, uri and metadata.

    Raises:
        ExpressionError: It is no CEL, names an input that has no value, compares what cannot be compared, or
            is no boolean.
    """
    known = {name: value for name, value in parameters.items() if value is not None}
    inputs = {
        "parameter_values": known,
        "parameterValues": known,
        # Schema 2.0.0 has typed values: inputs.parameters['x'].string_value.
        "parameters": {name: _typed(value) for name, value in known.items()},
        "artifacts": {name: {"artifacts": list(items)} for name, items in artifacts.items()},
    }
    value = _evaluate(condition, {"inputs": inputs})
    if not isinstance(value, bool):
        raise ExpressionError(f"condition {condition!r} gave {text(value)!r}, expected true or false")
    return value


def selected(selector: str, value: Any) -> Any:
    """What a parameterExpressionSelector takes of a value.

    Args:
        selector: CEL over the value as a google.protobuf.Value; `string_value` is the text of any value.
        value: A JSON value.

    Raises:
        ExpressionError: It is no CEL, or the value does not have what it asks for.
    """
    fields: dict[str, Any] = {"string_value": text(value)}
    if isinstance(value, bool):
        fields["bool_value"] = value
    elif isinstance(value, int | float):
        fields["number_value"] = value
    elif isinstance(value, list):
        fields["list_value"] = {"values": value}
    elif isinstance(value, dict):
        fields["struct_value"] = {"fields": value}
    return _evaluate(selector, fields)


def _typed(value: Any) -> dict[str, Any]:
    typed: dict[str, Any] = {"string_value": text(value)}
    if isinstance(value, int | float) and not isinstance(value, bool):
        typed |= {"double_value": value, "int_value": int(value)}
    return typed


def _evaluate(expression: str, variables: Mapping[str, Any]) -> Any:
    from celpy import CELEvalError, CELParseError

    try:
        with _LOCK:
            program = _program(expression)
            result = program.evaluate({name: _to_cel(value) for name, value in variables.items()})
        if isinstance(result, CELEvalError):
            raise result
        return normalise(_from_cel(result))
    except CELParseError as error:
        raise ExpressionError(f"{expression!r} is no CEL expression: {_first_line(error)}") from None
    except CELEvalError as error:
        raise ExpressionError(f"{expression!r} cannot be evaluated: {_reason(error)}") from None
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError, WrongType) as error:
        raise ExpressionError(f"{expression!r} cannot be evaluated: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _reason(error: Exception) -> str:
    # CELEvalError(message, exception class, its arguments)
    message = str(error.args[0]).partition(" (in activation")[0] if error.args else "error"
    detail = error.args[2] if len(error.args) > 2 and isinstance(error.args[2], tuple) else ()
    what = ", ".join(str(item) for item in detail)
    if message.startswith("found no matching overload"):  # what follows are names of cel-python's classes
        message, what = ("no such operation between these types", what)
    return f"{message}: {what}"[:200] if what else message[:200]


@functools.cache
def _environment() -> Any:
    import celpy

    return celpy.Environment()


@functools.lru_cache(maxsize=4096)
def _program(expression: str) -> Any:
    environment = _environment()
    return environment.program(environment.compile(expression), functions=_functions())


@functools.cache
def _functions() -> dict[str, Callable[..., Any]]:
    return {
        "_==_": _equality(negated=False),
        "_!=_": _equality(negated=True),
        "_<_": _order(operator.lt),
        "_<=_": _order(operator.le),
        "_>_": _order(operator.gt),
        "_>=_": _order(operator.ge),
        "_in_": _membership(),
        "parseJson": _parse_json,
    }


def _equality(*, negated: bool) -> Callable[[Any, Any], Any]:
    from celpy import CELEvalError
    from celpy.celtypes import BoolType

    def equal(left: Any, right: Any) -> Any:
        for operand in (left, right):
            if isinstance(operand, CELEvalError):
                return operand
        return BoolType(_same(_from_cel(left), _from_cel(right)) != negated)

    return equal


def _membership() -> Callable[[Any, Any], Any]:
    from celpy import CELEvalError
    from celpy.celtypes import BoolType

    def contained(item: Any, container: Any) -> Any:
        for operand in (item, container):
            if isinstance(operand, CELEvalError):
                return operand
        wanted, values = _from_cel(item), _from_cel(container)
        if not isinstance(values, list | dict):
            raise TypeError(f"a {_kind(values)} holds no items")
        return BoolType(any(_same(wanted, value) for value in values))

    return contained


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    return left == right


def _order(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    from celpy import CELEvalError
    from celpy.celtypes import BoolType

    def ordered(left: Any, right: Any) -> Any:
        for operand in (left, right):
            if isinstance(operand, CELEvalError):
                return operand
        a, b = _from_cel(left), _from_cel(right)
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b))
        if not numbers and type(a) is not type(b):
            raise TypeError(f"{_kind(a)} and {_kind(b)} have no order")
        return BoolType(compare(a, b))

    return ordered


def _kind(value: Any) -> str:
    return {bool: "boolean", str: "string", list: "list", dict: "map", type(None): "null"}.get(
        type(value), "number"
    )


def _parse_json(content: Any) -> Any:
    try:
        return _to_cel(json.loads(content))
    except json.JSONDecodeError:
        raise ValueError(f"parseJson: {str(content)[:60]!r} is no JSON") from None


def _to_cel(value: Any) -> Any:
    from celpy import celtypes

    if isinstance(value, bool):
        return celtypes.BoolType(value)
    if isinstance(value, int | float):
        return celtypes.DoubleType(value)
    if isinstance(value, str):
        return celtypes.StringType(value)
    if isinstance(value, dict):
        return celtypes.MapType({celtypes.StringType(key): _to_cel(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return celtypes.ListType([_to_cel(item) for item in value])
    return None


def _from_cel(value: Any) -> Any:
    from celpy import celtypes

    if isinstance(value, celtypes.BoolType | bool):
        return bool(value)
    if isinstance(value, int):  # IntType, UintType; arithmetic of cel-python gives Python's own numbers
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _from_cel(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_cel(item) for item in value]
    return None if value is None else str(value)
