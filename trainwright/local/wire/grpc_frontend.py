"""The gRPC server: plaintext HTTP/2 on loopback, behind the proxy that ends TLS."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import grpc.aio
from google.api_core import exceptions
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2

from .credentials import CredentialRefused, ServiceAccount
from .dispatch import Dispatcher, unimplemented
from .routes import Method, Routes
from .transcode import pack, refuse_unknown_fields, to_beta

# A compiled pipeline and its parameters may be large; gRPC's default is 4 MiB.
_MAX_MESSAGE = 64 * 1024 * 1024
# A held call is answered with the state of the moment so long before the client's deadline.
_DEADLINE_MARGIN = 1.0


class GrpcFrontend(grpc.GenericRpcHandler):
    """Answers every method: served ones by the dispatcher, all others with UNIMPLEMENTED and their name.

    Args:
        dispatcher: Calls the services.
        routes: The table of methods.
        account: Checks credentials, before anything else.
    """

    def __init__(self, dispatcher: Dispatcher, routes: Routes, account: ServiceAccount) -> None:
        self._dispatcher = dispatcher
        self._routes = routes
        self._account = account
        self._server: Any = None  # gRPC stops a server that nobody refers to

    async def start(self) -> int:
        """Listens on a free port of 127.0.0.1 and returns it."""
        options = [
            ("grpc.max_receive_message_length", _MAX_MESSAGE),
            ("grpc.max_send_message_length", _MAX_MESSAGE),
            ("grpc.so_reuseport", 0),
        ]
        self._server = grpc.aio.server(handlers=(self,), options=options)
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return port

    async def stop(self) -> None:
        """Ends the server; calls that still run after half a second are cancelled."""
        if self._server is not None:
            await self._server.stop(grace=0.5)

    def service(self, handler_call_details: Any) -> Any:
        """The handler of one call, asked for by gRPC in its event loop.

        Until the table has been read, which the loop must not wait for, it is a streaming one for every
        method: on the wire a unary call is a stream of one message.
        """
        full_name = handler_call_details.method.lstrip("/")
        metadata = dict(handler_call_details.invocation_metadata)

        async def answer(request: bytes | AsyncIterator[bytes], context: Any) -> bytes:
            try:
                left = context.time_remaining()
                patience = None if left is None else left - _DEADLINE_MARGIN
                headers: dict[str, str] = {}
                payload = await self._answer(full_name, metadata, request, patience, headers)
                if headers:
                    await context.send_initial_metadata([(k.lower(), v) for k, v in headers.items()])
                return payload
            except exceptions.GoogleAPICallError as error:
                await _abort(context, error)
                raise

        async def answer_stream(requests: AsyncIterator[bytes], context: Any) -> None:
            await context.write(await answer(requests, context))

        if self._routes.is_loaded:
            method = self._routes.by_name(full_name)
            if method is not None and not method.streaming:
                return grpc.unary_unary_rpc_method_handler(answer)
        return grpc.stream_stream_rpc_method_handler(answer_stream)

    async def _answer(
        self,
        full_name: str,
        metadata: Mapping[str, str],
        request: bytes | AsyncIterator[bytes],
        patience: float | None,
        headers: dict[str, str],
    ) -> bytes:
        try:
            self._account.check(metadata.get("authorization"))
        except CredentialRefused as refusal:
            raise exceptions.Unauthenticated(f"Request refused: {refusal}", details=refusal.details) from None
        method: Method | None = await self._dispatcher.lookup(self._routes.by_name, full_name)
        if method is None or method.streaming:
            raise unimplemented(full_name)
        version = "v1beta1" if ".v1beta1." in full_name else "v1"
        payload = request if isinstance(request, bytes) else await anext(aiter(request))
        message = _parse(method, version, payload)
        user_agent = f"{metadata.get('x-goog-api-client', '')} {metadata.get('user-agent', '')}"
        answer = await self._dispatcher.call(method, version, message, user_agent, patience, headers)
        if self._dispatcher.spoken_version(answer, version) == "v1beta1":
            to_beta(answer)
        return answer.SerializeToString()


def _parse(method: Method, version: str, payload: bytes) -> Any:
    request: Any = method.request()
    message: Message = method.request.pb(request) if hasattr(method.request, "pb") else request
    try:
        message.ParseFromString(payload)
    except DecodeError as error:
        raise exceptions.InvalidArgument(f"the request is no {method.request.__name__}: {error}") from None
    if version == "v1beta1":
        refuse_unknown_fields(message)
    return request


async def _abort(context: Any, error: exceptions.GoogleAPICallError) -> None:
    """Ends the call with the error's status, and its details where gRPC clients look for them."""
    code = error.grpc_status_code or grpc.StatusCode.UNKNOWN
    trailers: tuple[tuple[str, bytes], ...] = ()
    details = [pack(detail) for detail in error.details if isinstance(detail, Message)]
    if details:
        status = status_pb2.Status(code=code.value[0], message=error.message, details=details)
        trailers = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, error.message, trailers)
