"""This side of a fork server: starting one, talking to it, outliving it."""

import contextlib
import json
import os
import queue
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainwright.local.execution.running import Running

_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from fork_server.server import main;"
    " sys.path.remove(sys.argv[1]); main(*map(int, sys.argv[2:]))"
)
_READY_SECONDS = 180.0

# While modules are imported in a process that will fork: no thread pool of OpenMP or OpenBLAS, no
# background thread of pyarrow's allocator. Children get their own variables.
_SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


class ForkServerFailed(Exception):
    """The fork server ended; one line with the last that it said."""


class NamespaceFailed(ForkServerFailed):
    """A namespace is allowed here but not what /gcs needs in it: start without `show_gcs`."""


class ForkServer:
    """A connection to a fork server of its own.

    Args:
        interpreter: The Python that runs it.
        profile: "host", "component" or "google": what it imports at once.
        environment: Its own variables, which matter while modules are imported.
        gcs_root: What stands for /gcs.
        excluded: Modules that it must not import.
        show_gcs: Whether to try to show `gcs_root` as /gcs.
        process_lock: File descriptor that it holds open until it has ended, and all that it started.

    Raises:
        NamespaceFailed: /gcs cannot be shown here.
        ForkServerFailed: It ended, or was not ready within three minutes.
    """

    def __init__(
        self,
        interpreter: Path,
        profile: str,
        environment: Mapping[str, str],
        *,
        gcs_root: Path,
        show_gcs: bool,
        excluded: Sequence[str],
        process_lock: int,
    ) -> None:
        ours, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [
                *(str(interpreter), "-P", "-c", _BOOT, str(Path(__file__).parent)),
                *(str(theirs.fileno()), str(process_lock)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            env={**environment, **_SINGLE_THREADED},
            pass_fds=(theirs.fileno(), process_lock),
            cwd="/",
            start_new_session=True,  # a Ctrl-C in the terminal is for the process that serves
        )
        theirs.close()
        self._connection = ours
        self._sending = threading.Lock()
        self._asking = threading.Lock()
        self._answers: queue.Queue[dict | None] = queue.Queue()
        self._running: dict[str, Running] = {}
        self._lock = threading.Lock()
        self._retired = False
        self.alive = True
        self.preloaded: set[str] = set()
        threading.Thread(target=self._read, name=f"fork-server-{profile}", daemon=True).start()
        settings = {
            "profile": profile,
            "gcs_root": str(gcs_root),
            "show_gcs": show_gcs,
            "excluded": list(excluded),
        }
        try:
            ready = self._ask({"configure": settings})
            if not ready["ready"]:
                raise NamespaceFailed(self._last_words())
        except ForkServerFailed:
            self.close()
            raise
        self.shows_gcs: bool = ready["gcs"]
        self.unsafe: str | None = ready["unsafe"]

    @property
    def idle(self) -> bool:
        """Whether nothing that it started runs."""
        with self._lock:
            return not self._running

    def preload(self, distributions: Sequence[str]) -> None:
        """Imports the modules of these distributions in the server, so that children have them.

        Sets `unsafe` when one of them starts a thread; the server must not be used for another start then.

        Raises:
            ForkServerFailed: It ended.
        """
        missing = [name for name in distributions if name not in self.preloaded]
        if missing:
            answer = self._ask({"preload": missing})
            self.unsafe = self.unsafe or answer["unsafe"]
            self.preloaded.update(missing)

    def start(self, request: dict, log_path: Path) -> Running:
        """Starts a process.

        Args:
            request: The `start` message without its id.
            log_path: As in the request.

        Raises:
            ForkServerFailed: The server has ended.
        """
        identifier = uuid.uuid4().hex
        running = Running(
            log_path, lambda grace: self._send({"terminate": identifier, "grace": grace}, missing_ok=True)
        )
        with self._lock:
            if self._retired or not self.alive:
                raise ForkServerFailed("the fork server has ended")
            self._running[identifier] = running
        self._send({"start": {**request, "id": identifier}}, missing_ok=True)
        return running

    def retire(self) -> None:
        """Ends the server as soon as nothing that it started runs."""
        with self._lock:
            self._retired = True
            now = not self._running
        if now:
            self.close()

    def close(self) -> None:
        """Kills all that it started, and ends it."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _ask(self, message: dict) -> dict:
        with self._asking:
            self._send(message)
            try:
                answer = self._answers.get(timeout=_READY_SECONDS)
            except queue.Empty:
                raise ForkServerFailed(f"the fork server did not answer in {_READY_SECONDS:.0f} s") from None
        if answer is None:
            self._answers.put(None)  # for the next who asks
            raise ForkServerFailed(f"the fork server ended: {self._last_words()}")
        return answer

    def _send(self, message: dict, *, missing_ok: bool = False) -> None:
        data = json.dumps(message).encode()
        try:
            with self._sending:
                self._connection.sendall(struct.pack(">I", len(data)) + data)
        except OSError as error:
            if not missing_ok:  # else the reader says so to all who wait
                raise ForkServerFailed(f"the fork server ended: {self._last_words()}") from error

    def _read(self) -> None:
        """The reader thread: messages to those who wait, until the server ends."""
        with contextlib.suppress(OSError, ValueError), self._connection.makefile("rb") as stream:
            while len(head := stream.read(4)) == 4:
                self._dispatch(json.loads(stream.read(struct.unpack(">I", head)[0])))
        with self._lock:
            self.alive = False
            orphans, self._running = list(self._running.values()), {}
        self._answers.put(None)
        for running in orphans:
            # The server kills its children before it ends; when it was killed itself, the kernel has killed
            # them but not what they started.
            if running.pid:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(running.pid, signal.SIGKILL)
            running.ended(-signal.SIGKILL)

    def _dispatch(self, message: dict) -> None:
        if "started" in message:
            with self._lock:
                self._running[message["started"]].pid = message["pid"]
        elif "exited" in message:
            with self._lock:
                running = self._running.pop(message["exited"])
                last = self._retired and not self._running
            running.ended(message["code"])
            if last:
                threading.Thread(target=self.close, daemon=True).start()
        else:
            self._answers.put(message)

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        self._said.seek(0)
        lines = [
            line.strip() for line in self._said.read().decode(errors="replace").splitlines() if line.strip()
        ]
        return lines[-1] if lines else f"exit code {self._process.poll()}"
