"""The fork servers of an executor: started when they are needed, retired when there are too many."""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from trainwright.local.execution.running import StartCancelled
from trainwright.local.execution.servers import ForkServer, NamespaceFailed

_MOST_SERVERS = 6
_Key = tuple[Path, str, bool]


class ServerPool:
    """Fork servers by interpreter, profile and whether they are bare. Methods may be called from any thread.

    Args:
        environment: Gives the variables of a new server.
        gcs_root: What stands for /gcs.
        process_lock: File descriptor that servers hold open as long as anything of theirs runs.
    """

    def __init__(
        self, environment: Callable[[], Mapping[str, str]], gcs_root: Path, process_lock: int
    ) -> None:
        self._environment = environment
        self._gcs_root = gcs_root
        self._process_lock = process_lock
        self._lock = threading.Lock()
        self._servers: dict[_Key, ForkServer] = {}
        self._starting: dict[_Key, threading.Lock] = defaultdict(threading.Lock)
        self._unsafe: set[str] = set()
        self._show_gcs = True
        self._closed = threading.Event()

    @property
    def is_idle(self) -> bool:
        """Whether nothing that the servers started runs."""
        with self._lock:
            return all(server.idle for server in self._servers.values())

    def get(self, interpreter: Path, profile: str, preloads: tuple[str, ...], *, bare: bool) -> ForkServer:
        """A server that has imported what is asked for, unless it is to be bare.

        Args:
            interpreter: The Python that runs it.
            profile: "host", "component" or "google".
            preloads: Distributions whose modules it is to have.
            bare: Whether its children set variables that libraries may read while they are imported.

        Raises:
            StartCancelled: The pool is closed.
            ForkServerFailed: It cannot be started, or has ended.
        """
        key = (interpreter, profile, bare and profile == "component")
        with self._lock:
            starting = self._starting[key]
        with starting:
            while True:
                if self._closed.is_set():
                    raise StartCancelled("local Vertex is being closed")
                server = self._servers.get(key)
                if server is None or not server.alive:
                    server = self._start(interpreter, profile)
                    with self._lock:
                        self._servers[key] = server
                        self._retire_idle(key)
                    if self._closed.is_set():  # `close` may have looked before the server was there
                        server.close()
                        continue
                if not key[2]:
                    server.preload(preloads)
                if server.unsafe is None:
                    return server
                self._unsafe.add(server.unsafe)
                with self._lock:
                    del self._servers[key]
                server.retire()

    def close(self) -> None:
        """Ends every server and all that it started; later `get` raises StartCancelled."""
        self._closed.set()
        with self._lock:
            servers = list(self._servers.values())
        for server in servers:
            server.close()

    def _start(self, interpreter: Path, profile: str) -> ForkServer:
        environment = dict(self._environment())
        if profile == "component":
            environment["_KFP_RUNTIME"] = "true"
        while True:
            try:
                return ForkServer(
                    interpreter,
                    profile,
                    environment,
                    gcs_root=self._gcs_root,
                    show_gcs=self._show_gcs,
                    excluded=sorted(self._unsafe),
                    process_lock=self._process_lock,
                )
            except NamespaceFailed:
                self._show_gcs = False

    def _retire_idle(self, newest: _Key) -> None:
        """Keeps the number of servers, and so their memory, small: the oldest that is idle goes first."""
        for key in list(self._servers):
            if len(self._servers) <= _MOST_SERVERS:
                return
            if key != newest and self._servers[key].idle:
                self._servers.pop(key).retire()
