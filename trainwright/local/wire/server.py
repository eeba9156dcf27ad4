"""The three servers of local Vertex AI on one event loop in one thread: proxy, gRPC, HTTP."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from pathlib import Path

import uvicorn

from trainwright.local.store import Store

from .credentials import ServiceAccount
from .dispatch import Dispatcher
from .environment import Outside, client_environment
from .grpc_frontend import GrpcFrontend
from .http_frontend import App, HttpFrontend
from .private_files import write_private
from .proxy import Proxy
from .routes import Routes
from .tls import Authority, write_bundle

_HOST = "127.0.0.1"
_KEEP_ALIVE = 300  # longer than clients keep an idle connection, so that none is closed under a request
_STOP_TIMEOUT = 10.0

_log = logging.getLogger(__name__)


class Wire:
    """Sockets to messages: what Google's unmodified clients talk to.

    Args:
        state: The state folder; key and certificates are written below it, in `credentials`.
        services: Objects by service name ("JobService", "Operations", "Projects", ...), with a method
            `create_custom_job(request, context)` for each RPC that they serve.
        storage_app: An ASGI application that serves Cloud Storage.
        bigquery_app: An ASGI application that serves BigQuery.
        store: Tells of changed resources.
        project: The project's ID.
        location: The region of requests that name none.
        token: A secret: the password of the proxy and the first path segment of the storage address.
        port: Of the proxy; the HTTP server takes the next one. 0 takes those of the process before, or any.
    """

    def __init__(
        self,
        *,
        state: Path,
        services: Mapping[str, object],
        storage_app: App,
        bigquery_app: App,
        store: Store,
        project: str,
        location: str,
        token: str,
        port: int = 0,
    ) -> None:
        self._folder = (state / "credentials").absolute()
        self._services = services
        self._storage_app = storage_app
        self._bigquery_app = bigquery_app
        self._store = store
        self._project = project
        self._location = location
        self._token = token
        self._port = port
        self._outside = Outside.of(os.environ)
        self._environment: dict[str, str] = {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None

    def start(self) -> None:
        """Serves from now on, in a thread of its own.

        Raises:
            OSError: A port is in use (the message has the address), or the state folder cannot be written.
        """
        with contextlib.ExitStack() as on_failure:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            ports = (self._port, self._port + 1) if self._port else _known_ports(self._folder / "ports")
            proxy_listener, http_listener = (on_failure.enter_context(_bind(port)) for port in ports)
            proxy_port, http_port = proxy_listener.getsockname()[1], http_listener.getsockname()[1]
            write_private(self._folder / "ports", f"{proxy_port} {http_port}".encode())
            key_file, bundle = self._folder / "key.json", self._folder / "bundle.pem"
            authority = Authority(self._folder)
            write_bundle(bundle, authority, self._outside.roots)
            token_uri = f"http://{_HOST}:{http_port}/token"
            account = ServiceAccount(key_file, project=self._project, token_uri=token_uri, secret=self._token)
            ready: Future[None] = Future()
            serve = self._serve(proxy_listener, http_listener, authority, account, ready)
            self._thread = threading.Thread(target=asyncio.run, args=(serve,), name="wire", daemon=True)
            self._thread.start()
            ready.result()
            on_failure.pop_all()
        self._environment = client_environment(
            outside=self._outside,
            token=self._token,
            proxy_port=proxy_port,
            http_port=http_port,
            key_file=key_file,
            bundle=bundle,
            project=self._project,
            location=self._location,
        )

    def environment(self) -> dict[str, str]:
        """The variables that make a process a client of this server, to be laid over its environment.

        Raises:
            RuntimeError: The server has not been started.
        """
        if not self._environment:
            raise RuntimeError("the servers have no addresses before start()")
        return dict(self._environment)

    def stop(self) -> None:
        """Ends held calls with UNAVAILABLE, closes every connection and returns when all is down."""
        if self._thread is None or self._loop is None or self._stopped is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(_STOP_TIMEOUT)
        if self._thread.is_alive():
            _log.warning("the servers have not stopped within %.0f s", _STOP_TIMEOUT)
        self._thread = None

    async def _serve(
        self,
        proxy_listener: socket.socket,
        http_listener: socket.socket,
        authority: Authority,
        account: ServiceAccount,
        ready: "Future[None]",
    ) -> None:
        """Everything that runs in the thread, until stop()."""
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        try:
            routes = Routes(self._services)
            dispatcher = Dispatcher(self._services, self._store, routes, self._location)
            grpc_frontend = GrpcFrontend(dispatcher, routes, account)
            grpc_port = await grpc_frontend.start()
            app = HttpFrontend(
                dispatcher, routes, account, self._storage_app, self._bigquery_app, self._token
            )
            stop_http = _serve_http(app, http_listener)
            proxy = Proxy(
                token=self._token,
                authority=authority,
                grpc_port=grpc_port,
                http_port=http_listener.getsockname()[1],
                outside=self._outside,
            )
            await proxy.start(proxy_listener)
        except BaseException as error:
            ready.set_exception(error)
            return
        ready.set_result(None)
        await self._stopped.wait()
        dispatcher.stop()  # the held calls are answered before the doors are closed
        await asyncio.gather(grpc_frontend.stop(), stop_http())
        await proxy.stop()


def _serve_http(app: App, listener: socket.socket) -> Callable[[], Awaitable[None]]:
    """Starts uvicorn in the running loop; returns what ends it."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=1 << 16,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))

    async def stop() -> None:
        server.should_exit = True
        await task

    return stop


def _known_ports(path: Path) -> tuple[int, int]:
    """The ports of the process before this one if they are free, so that its clients go on; else any two."""
    try:
        proxy_port, http_port = (int(word) for word in path.read_text().split())
        for port in (proxy_port, http_port):
            _bind(port).close()
    except (OSError, ValueError, OverflowError):
        return 0, 0
    return proxy_port, http_port


def _bind(port: int) -> socket.socket:
    """A listening socket on loopback; connections may come before a server takes them.

    Raises:
        OSError: The port is in use or not ours to take; the message has the address.
    """
    # asyncio sets TCP_NODELAY only where the protocol is named; without it every answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be taken: {error.strerror}"
        raise OSError(error.errno, f"port {_HOST}:{port} {reason}") from None
    return listener
