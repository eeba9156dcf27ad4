"""Between HTTP/JSON and protobuf, by the rules of google.api.http.

https://github.com/googleapis/googleapis/blob/master/google/api/http.proto (read 2026-11-23) has the templates
of paths and says what goes into body and query.
"""

import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from google.api import httpbody_pb2
from google.api_core import exceptions
from google.protobuf import any_pb2, json_format, unknown_fields
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

# They steer the answer's form and are no fields:
# https://docs.cloud.google.com/apis/docs/system-parameters, read 2026-11-23.
_SYSTEM_PARAMETERS = frozenset(
    (
        "alt",
        "callback",
        "fields",
        "key",
        "prettyPrint",
        "quotaUser",
        "uploadType",
        "upload_protocol",
    )
)
_VARIABLE = re.compile(r"\{([^}=]+)(?:=([^}]*))?\}")
_V1, _V1BETA1 = "google.cloud.aiplatform.v1.", "google.cloud.aiplatform.v1beta1."


class Template:
    """A path template such as `/v1/{name=projects/*/locations/*/customJobs/*}:cancel`.

    Attributes:
        uri: As Google writes it.
        has_custom_verb: Whether it ends in `:verb`.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.has_custom_verb = ":" in uri.rpartition("}")[2]
        self._names: list[str] = []
        pattern, end = "", 0
        for variable in _VARIABLE.finditer(uri):
            self._names.append(variable[1])
            pattern += f"{re.escape(uri[end : variable.start()])}({_segments(variable[2] or '*')})"
            end = variable.end()
        self._pattern = re.compile(pattern + re.escape(uri[end:]))

    def match(self, path: str) -> dict[str, str] | None:
        """The variables' values, percent-decoded, when `path` has this form."""
        found = self._pattern.fullmatch(path.replace("%3A", ":").replace("%3a", ":"))
        if found is None:
            return None
        values = (urllib.parse.unquote(value) for value in found.groups())
        return dict(zip(self._names, values, strict=True))


def _segments(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*\*", ".+").replace(r"\*", "[^/]+")


def parse_request(
    message_type: Any,
    *,
    variables: Mapping[str, str],
    query: str,
    field_of_body: str,
    body: bytes,
    content_type: str = "",
) -> Any:
    """Makes the request message of an HTTP request.

    Args:
        message_type: A proto-plus or protobuf class.
        variables: Values of the path template's variables; a dotted name is a nested field.
        query: The query string, percent-encoded.
        field_of_body: "" when there is no body, "*" when it is the message, else the field that it is.
        body: JSON with camelCase or snake_case names, enums as names or numbers. When the message has a field
            of type google.api.HttpBody, anything: it is that field's data (google/api/httpbody.proto).
        content_type: Of the body.

    Raises:
        google.api_core.exceptions.InvalidArgument: Body or query do not fit the message; names the field.
    """
    request = message_type()
    message: Message = message_type.pb(request) if hasattr(message_type, "pb") else request
    try:
        raw = _http_body_field(message.DESCRIPTOR) if field_of_body == "*" else None
        if raw is not None:
            getattr(message, raw).CopyFrom(httpbody_pb2.HttpBody(content_type=content_type, data=body))
        elif field_of_body and body.strip():
            part = message if field_of_body == "*" else getattr(message, field_of_body)
            part.SetInParent()
            json_format.ParseDict(_json_object(body), part)
        json_format.ParseDict(_query_as_json(message.DESCRIPTOR, query), message)
    except (json_format.ParseError, ValueError, TypeError, RecursionError) as error:
        raise exceptions.InvalidArgument(f"Invalid JSON payload received. {error}") from None
    for name, value in variables.items():
        *parents, last = name.split(".")
        part = message
        for parent in parents:
            part = getattr(part, parent)
        setattr(part, last, value)
    return request


def _http_body_field(descriptor: Any) -> str | None:
    """The name of the field that takes the HTTP body as it is, if the message has one."""
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.full_name == "google.api.HttpBody":
            return field.name
    return None


def enums_as_integers(query: str) -> bool:
    """Whether the client asked for `$alt=json;enum-encoding=int`, as Google's own REST clients do."""
    parameters = urllib.parse.parse_qs(query)
    return any("enum-encoding=int" in value for key in ("$alt", "alt") for value in parameters.get(key, ()))


def to_json(message: Message, *, version: str, integers: bool) -> bytes:
    """The JSON of an answer; types inside of google.protobuf.Any get the caller's version."""
    fields = json_format.MessageToDict(message, use_integers_for_enums=integers)
    if version == "v1beta1":
        _beta_type_urls(fields)
    return json.dumps(fields, ensure_ascii=False, indent=2).encode()


def to_beta(message: Message) -> None:
    """Gives the packed messages of operations their v1beta1 names, in place."""
    for part in _parts(message):
        if isinstance(part, any_pb2.Any):
            part.type_url = part.type_url.replace(_V1, _V1BETA1)


def refuse_unknown_fields(message: Message) -> None:
    """Refuses what a v1beta1 client sent and v1's messages have no field for, rather than dropping it.

    Raises:
        google.api_core.exceptions.MethodNotImplemented: Names the message and the field's number.
    """
    for part in _parts(message):
        unknown: Any = unknown_fields.UnknownFieldSet(part)
        for field in unknown:
            name, number = part.DESCRIPTOR.name, field.field_number
            raise exceptions.MethodNotImplemented(
                f"local Vertex AI knows {name} as in v1, which has no field number {number}"
            )


def _parts(message: Message) -> Iterator[Message]:
    """The message and every message within it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if not field.is_repeated:
            yield from _parts(value)
        elif not field.message_type.GetOptions().map_entry:
            for item in value:
                yield from _parts(item)
        elif field.message_type.fields_by_name["value"].message_type is not None:
            for item in value.values():
                yield from _parts(item)


def error_json(error: exceptions.GoogleAPICallError) -> tuple[int, bytes]:
    """HTTP status and body of an error, in the form of google.rpc.Status."""
    status = int(error.code or 500)
    name = error.grpc_status_code.name if error.grpc_status_code is not None else "UNKNOWN"
    content: dict[str, Any] = {"code": status, "message": error.message, "status": name}
    details = [detail for detail in error.details if isinstance(detail, Message)]
    if details:
        content["details"] = [json_format.MessageToDict(pack(detail)) for detail in details]
    return status, json.dumps({"error": content}, ensure_ascii=False, indent=2).encode()


def pack(message: Message) -> any_pb2.Any:
    """The message as a google.protobuf.Any."""
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _json_object(body: bytes) -> dict[str, Any]:
    content = json.loads(body)
    if not isinstance(content, dict):
        raise ValueError("The body is not a JSON object.")
    return content


def _query_as_json(descriptor: Any, query: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
        if key not in _SYSTEM_PARAMETERS and not key.startswith("$"):
            _set(result, descriptor, key, key.split("."), value)
    return result


def _set(target: dict[str, Any], descriptor: Any, key: str, path: list[str], value: str) -> None:
    """Puts one query parameter into the JSON form of the message."""
    field = descriptor.fields_by_name.get(path[0]) or descriptor.fields_by_camelcase_name.get(path[0])
    if field is None:
        raise ValueError(f'Unknown name "{key}": {descriptor.name} has no field "{path[0]}".')
    if len(path) == 1:
        scalar = _scalar(field, key, value)
        if field.is_repeated:
            target.setdefault(field.name, []).append(scalar)
        else:
            target[field.name] = scalar
    elif field.message_type is None:
        raise ValueError(f'Unknown name "{key}": {field.name} is no message.')
    elif field.message_type.GetOptions().map_entry:
        values = field.message_type.fields_by_name["value"]
        target.setdefault(field.name, {})[".".join(path[1:])] = _scalar(values, key, value)
    elif field.is_repeated:
        raise ValueError(f'"{key}": a list of messages cannot stand in the query.')
    else:
        _set(target.setdefault(field.name, {}), field.message_type, key, path[1:], value)


def _scalar(field: FieldDescriptor, key: str, value: str) -> Any:
    wrapped = field.message_type is not None and field.message_type.full_name == "google.protobuf.BoolValue"
    if field.type != FieldDescriptor.TYPE_BOOL and not wrapped:
        return value  # protobuf's JSON takes numbers, enums, timestamps and masks as strings
    if value.lower() not in ("true", "false"):
        raise ValueError(f'"{key}": {value!r} is neither true nor false.')
    return value.lower() == "true"


def _beta_type_urls(content: Any) -> None:
    if isinstance(content, dict):
        if isinstance(content.get("@type"), str):
            content["@type"] = content["@type"].replace(_V1, _V1BETA1)
        for value in content.values():
            _beta_type_urls(value)
    elif isinstance(content, list):
        for value in content:
            _beta_type_urls(value)
