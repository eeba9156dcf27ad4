"""`google.cloud.aiplatform.v1.PredictionService`: requests to deployed models.

Predict and RawPredict; explanations need an explainer, which is not there, and answer UNIMPLEMENTED as every
method that is not written here does.
"""

import asyncio
import json
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.api import httpbody_pb2
from google.api_core import exceptions
from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format, struct_pb2

from trainwright.local.services.endpoints import Endpoints, deployed_of
from trainwright.local.services.traffic import chosen
from trainwright.local.serving import Deployments, Reply, ServerFailed

# Of requests to and responses of shared public endpoints: 1.5 MB and 60 seconds (Vertex AI documentation,
# "Choose an endpoint type", 2026-08-22).
_MOST_BYTES = 1_572_864
_SECONDS = 60.0
_THREADS = 64
# google/rpc/code.proto has the HTTP status of each code.
_ERRORS: dict[int, type[exceptions.GoogleAPICallError]] = {
    401: exceptions.Unauthenticated,
    403: exceptions.PermissionDenied,
    404: exceptions.NotFound,
    409: exceptions.Aborted,
    429: exceptions.ResourceExhausted,
    500: exceptions.InternalServerError,
    501: exceptions.MethodNotImplemented,
    503: exceptions.ServiceUnavailable,
    504: exceptions.DeadlineExceeded,
}


class Predictions:
    """Gives requests to the deployed models of an endpoint, by its traffic split.

    Args:
        endpoints: Knows the endpoints.
        deployments: Has the model servers.
    """

    def __init__(self, *, endpoints: Endpoints, deployments: Deployments) -> None:
        self._endpoints = endpoints
        self._deployments = deployments
        # Of its own: predictions wait for model servers, which may wait for other methods of this process.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="predict")

    async def predict(self, request: v1.PredictRequest, context: Any) -> v1.PredictResponse:
        """The predictions of a deployed model for some instances.

        Raises:
            NotFound: There is no such endpoint.
            FailedPrecondition: The endpoint accepts no traffic.
            GoogleAPICallError: The model server's own error, by its HTTP status.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._predict, request)

    async def raw_predict(self, request: v1.RawPredictRequest, context: Any) -> httpbody_pb2.HttpBody:
        """What a deployed model's server answers to the body as it is; headers say which model it was.

        Raises:
            NotFound: There is no such endpoint.
            FailedPrecondition: The endpoint accepts no traffic.
            GoogleAPICallError: The model server's own error, by its HTTP status.
        """
        answer, headers = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._raw_predict, request
        )
        context.response_headers.update(headers)
        return answer

    def close(self) -> None:
        """Takes no more requests."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _predict(self, request: v1.PredictRequest) -> v1.PredictResponse:
        message = v1.PredictRequest.pb(request)
        if not message.instances:
            raise exceptions.InvalidArgument("instances: empty; expected one or more")
        content: dict[str, Any] = {"instances": [plain(value) for value in message.instances]}
        if message.HasField("parameters"):
            content["parameters"] = plain(message.parameters)
        try:
            body = json.dumps(content, allow_nan=False).encode()
        except ValueError:
            raise exceptions.InvalidArgument(
                "instances: hold NaN or infinity, which JSON does not know"
            ) from None
        deployed, reply = self._post(request.endpoint, body, "application/json")
        return v1.PredictResponse.wrap(
            v1.PredictResponse.pb()(
                predictions=_predictions(reply),
                deployed_model_id=deployed.id,
                model=deployed.model,
                model_version_id=deployed.model_version_id,
                model_display_name=self._endpoints.model_display_name(deployed),
            )
        )

    def _raw_predict(self, request: v1.RawPredictRequest) -> tuple[httpbody_pb2.HttpBody, dict[str, str]]:
        body = request.http_body
        deployed, reply = self._post(request.endpoint, body.data, body.content_type or "application/json")
        headers = {
            "X-Vertex-AI-Endpoint-Id": request.endpoint.rpartition("/")[2],
            "X-Vertex-AI-Deployed-Model-Id": deployed.id,
            "X-Vertex-AI-Model": deployed.model,
            "X-Vertex-AI-Model-Version-Id": deployed.model_version_id,
        }
        content_type = {name.lower(): value for name, value in reply.headers.items()}.get("content-type", "")
        return httpbody_pb2.HttpBody(content_type=content_type, data=reply.body), headers

    def _post(self, name: str, body: bytes, content_type: str) -> tuple[v1.DeployedModel, Reply]:
        """The deployed model that the traffic split chooses, and its server's good answer."""
        if len(body) > _MOST_BYTES:
            raise exceptions.InvalidArgument(
                f"Request payload size exceeds the limit: {_MOST_BYTES} bytes; found {len(body)}"
            )
        endpoint = self._endpoints.endpoint(name)
        point = random.random() * 100  # noqa: S311 - it shares out requests
        deployed_model_id = chosen(endpoint.traffic_split, point)
        if deployed_model_id is None:
            raise exceptions.FailedPrecondition(
                f"Endpoint {endpoint.name!r} accepts no traffic: its traffic_split is empty"
            )
        deployed = deployed_of(endpoint, deployed_model_id)
        served = self._endpoints.served(endpoint, deployed)
        try:
            reply = self._deployments.post(served, body, {"Content-Type": content_type}, _SECONDS)
        except ServerFailed as error:
            raise exceptions.ServiceUnavailable(str(error)) from None
        except TimeoutError as error:
            raise exceptions.DeadlineExceeded(str(error)) from None
        if reply.status != 200:
            text = reply.body.decode(errors="replace") or f"the model server answered {reply.status}"
            raise _error(reply.status, text)
        if len(reply.body) > _MOST_BYTES:
            raise exceptions.InternalServerError(
                f"Response payload size exceeds the limit: {_MOST_BYTES} bytes; found {len(reply.body)}"
            )
        return deployed, reply


def _error(status: int, text: str) -> exceptions.GoogleAPICallError:
    """What callers get for an error of the model server: the canonical code of its HTTP status."""
    kind = _ERRORS.get(status, exceptions.InvalidArgument if 400 <= status < 500 else exceptions.Unknown)
    return kind(text)


def _predictions(reply: Reply) -> list[struct_pb2.Value]:
    try:
        content = json.loads(reply.body)
        found = struct_pb2.ListValue()
        json_format.ParseDict(content["predictions"], found)
    except (ValueError, KeyError, TypeError, json_format.ParseError):
        said = reply.body[:200].decode(errors="replace")
        raise exceptions.InternalServerError(
            f'the model server answered {said!r}; expected a JSON object with a list "predictions"'
        ) from None
    return list(found.values)


def plain(value: struct_pb2.Value) -> Any:
    """The JSON value that a message stands for, whole numbers as such: the message holds doubles alone."""
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "list_value":
        return [plain(item) for item in value.list_value.values]
    if kind == "struct_value":
        return {name: plain(item) for name, item in value.struct_value.fields.items()}
    return None if kind in (None, "null_value") else getattr(value, kind)
