"""An HTTP CONNECT proxy: the one door that all of Google's clients can be led through by their environment.

Google API hosts end here: TLS is terminated, and ALPN tells gRPC (h2) from REST. Every other host is
tunnelled untouched, by the user's own proxy when there is one, so that pip and downloads go on working.
"""

import asyncio
import base64
import contextlib
import hmac
import logging
import socket
import ssl
import urllib.parse

from .environment import Outside
from .tls import Authority

_HEAD_TIMEOUT = 10.0
_CONNECT_TIMEOUT = 30.0
_CHUNK = 65536
_MAX_CONNECTIONS = 1024
# urllib3 writes head and body apart, and by a proxy with Nagle's algorithm: it waits for the acknowledgement
# of the head, which Linux puts off for 40 ms unless asked for it anew after each read.
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)

_log = logging.getLogger(__name__)

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Refused(Exception):
    """The connection is answered with this status and one line, and closed."""

    def __init__(self, status: str, message: str, header: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.header = header


def is_google_api(host: str) -> bool:
    """Whether `host` is one that local Vertex AI stands for."""
    return host == "googleapis.com" or host.endswith(".googleapis.com")


class Proxy:
    """Serves CONNECT on one listening socket. All methods are called in the event loop.

    Args:
        token: The password that clients send in Proxy-Authorization.
        authority: Gives the certificates of Google's hosts.
        grpc_port: Where plaintext HTTP/2 is served on 127.0.0.1.
        http_port: Where HTTP/1.1 is served on 127.0.0.1.
        outside: How other hosts are reached.
    """

    def __init__(
        self, *, token: str, authority: Authority, grpc_port: int, http_port: int, outside: Outside
    ) -> None:
        self._token = token.encode()
        self._authority = authority
        self._ports = {"h2": grpc_port, "http/1.1": http_port}
        self._outside = outside
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Accepts connections on a bound socket."""
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=_CHUNK)

    async def stop(self) -> None:
        """Closes the listener and every connection."""
        if self._server is not None:
            self._server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except _Refused as refusal:
            await _answer(writer, refusal)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            _log.debug("connection ended: %s", error)
        except asyncio.CancelledError:
            pass  # only stop() cancels
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) > _MAX_CONNECTIONS:
            raise _Refused("503 Service Unavailable", f"more than {_MAX_CONNECTIONS} connections")
        host, port = await self._read_request(reader)
        if is_google_api(host):
            await self._terminate(host, reader, writer)
        else:
            other = await self._open(host, port)
            try:
                await _established(writer)
                await _relay((reader, writer), other, half_close=True)
            finally:
                other[1].close()

    async def _read_request(self, reader: asyncio.StreamReader) -> tuple[str, int]:
        """Reads and checks the head of a CONNECT request; returns the host and port it names."""
        try:
            async with asyncio.timeout(_HEAD_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise _Refused("431 Request Header Fields Too Large", "the request's head is too long") from None
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        self._check_password(headers.get("proxy-authorization", ""))
        method, _, target = first.partition(" ")
        if method != "CONNECT":
            raise _Refused("405 Method Not Allowed", "this proxy knows CONNECT only", "Allow: CONNECT\r\n")
        try:
            address = urllib.parse.urlsplit("//" + target.split(" ")[0])
            if not address.hostname or not address.port:
                raise ValueError
        except ValueError:
            raise _Refused("400 Bad Request", "CONNECT needs host:port") from None
        return address.hostname.rstrip("."), address.port

    def _check_password(self, value: str) -> None:
        scheme, _, encoded = value.partition(" ")
        try:
            password = base64.b64decode(encoded.strip()).partition(b":")[2]
        except ValueError:
            password = b""
        if scheme.lower() != "basic" or not hmac.compare_digest(password, self._token):
            raise _Refused(
                "407 Proxy Authentication Required",
                "the proxy's URL must carry the token of this local Vertex AI",
                'Proxy-Authenticate: Basic realm="trainwright"\r\n',
            )

    async def _terminate(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _established(writer)
        await writer.start_tls(self._authority.server_context(host), ssl_handshake_timeout=_CONNECT_TIMEOUT)
        chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        port = self._ports[chosen or "http/1.1"]  # httplib2 offers no ALPN
        other = await asyncio.open_connection("127.0.0.1", port, limit=_CHUNK)
        try:
            await _relay((reader, writer), other, half_close=False)
        finally:
            other[1].close()

    async def _open(self, host: str, port: int) -> _Streams:
        """Connects to a host that is none of ours."""
        upstream = self._outside.proxy_for(host)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                if upstream:
                    return await _open_by_proxy(upstream, host, port)
                return await asyncio.open_connection(host, port, limit=_CHUNK, happy_eyeballs_delay=0.25)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            reason = str(error) or type(error).__name__
            raise _Refused("502 Bad Gateway", f"cannot connect to {host}:{port}: {reason}") from None


async def _open_by_proxy(upstream: str, host: str, port: int) -> _Streams:
    """A tunnel through the user's own proxy (http:// or https://, with or without user:password)."""
    url = urllib.parse.urlsplit(upstream if "//" in upstream else f"http://{upstream}")
    if url.scheme not in ("http", "https") or not url.hostname:
        raise _Refused("502 Bad Gateway", f"the outer proxy's scheme {url.scheme!r} is not http or https")
    secure = ssl.create_default_context() if url.scheme == "https" else None
    default_port = 443 if secure else 80
    streams = await asyncio.open_connection(url.hostname, url.port or default_port, ssl=secure, limit=_CHUNK)
    reader, writer = streams
    try:
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        login = ""
        if url.username:
            user = urllib.parse.unquote(f"{url.username}:{url.password or ''}")
            login = f"Proxy-Authorization: Basic {base64.b64encode(user.encode()).decode()}\r\n"
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n".encode())
        status = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode("latin-1")
        if status.split(" ")[1:2] != ["200"]:
            raise _Refused("502 Bad Gateway", f"the outer proxy answered: {status}")
    except BaseException:
        writer.close()
        raise
    return streams


async def _established(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await writer.drain()


async def _answer(writer: asyncio.StreamWriter, refusal: _Refused) -> None:
    body = f"{refusal}\n".encode()
    head = (
        f"HTTP/1.1 {refusal.status}\r\n{refusal.header}Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with contextlib.suppress(OSError):
        writer.write(head.encode() + body)
        await writer.drain()


async def _relay(client: _Streams, server: _Streams, *, half_close: bool) -> None:
    """Copies both ways until both ends have finished, or either when the connection cannot be half closed.

    TLS as asyncio has it cannot be half closed: there, the end of one side is the end of both, which is also
    how the servers behind notice at once that a client has gone.
    """
    copies = [
        asyncio.create_task(_copy(client, server)),
        asyncio.create_task(_copy(server, client)),
    ]
    when = asyncio.FIRST_EXCEPTION if half_close else asyncio.FIRST_COMPLETED
    try:
        done, _ = await asyncio.wait(copies, return_when=when)
        for copy in done:
            copy.result()
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def _copy(origin: _Streams, destination: _Streams) -> None:
    source, target = origin[0], destination[1]
    connection = origin[1].get_extra_info("socket")
    while True:
        if connection is not None and _QUICK_ACK is not None:
            with contextlib.suppress(OSError):  # closed meanwhile
                connection.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        if not (data := await source.read(_CHUNK)):
            break
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        with contextlib.suppress(OSError):
            target.write_eof()
