"""The fork server's loop: messages in, children out."""

import contextlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
import traceback

from . import child, namespace, preloading

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class _Started:
    """A started process that has not been reported as ended.

    `code` is its leader's exit code once it has one; `deadline` is set while it is being terminated: the time
    at which what is left of its group is killed.
    """

    def __init__(self, identifier: str) -> None:
        self.identifier = identifier
        self.code: int | None = None
        self.deadline: float | None = None


class Server:
    """Serves one client.

    Args:
        connection: The socket, connected.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""
        self._started: dict[int, _Started] = {}
        self._gcs_root = ""
        self._excluded: set[str] = set()
        self._process = os.getpid()
        self._wakeup, self._waker = socket.socketpair()
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker.fileno())

    def serve(self) -> None:
        """Serves until the other side closes; leaves no process behind."""
        try:
            while self._receive():
                self._reap()
                self._finish()
        finally:
            self._kill_everything()

    def _receive(self) -> bool:
        """Waits for messages, ended children or a deadline; False when the other side has gone."""
        for key, _ in self._selector.select(self._patience()):
            if key.fileobj is self._wakeup:
                with contextlib.suppress(BlockingIOError):
                    self._wakeup.recv(4096)
                continue
            received = self._connection.recv(1 << 20)
            if not received:
                return False
            self._buffer += received
        while len(self._buffer) >= 4:
            end = 4 + struct.unpack(">I", self._buffer[:4])[0]
            if len(self._buffer) < end:
                break
            message, self._buffer = json.loads(self._buffer[4:end]), self._buffer[end:]
            self._handle(message)
        return True

    def _patience(self) -> float | None:
        if any(started.code is not None for started in self._started.values()):
            return 0.05  # the leader of a terminated group has ended: nothing tells when the others do
        deadlines = [started.deadline for started in self._started.values() if started.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _send(self, message: dict) -> None:
        data = json.dumps(message).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the next recv sees the end
            self._connection.sendall(struct.pack(">I", len(data)) + data)

    def _handle(self, message: dict) -> None:
        if "start" in message:
            self._start(message["start"])
        elif "terminate" in message:
            self._terminate(message["terminate"], message["grace"])
        elif "preload" in message:
            modules = [name for item in message["preload"] for name in preloading.modules_of(item)]
            self._send({"preloaded": True, "unsafe": preloading.preload(modules, self._excluded)})
        else:
            self._configure(**message["configure"])

    def _configure(self, profile: str, gcs_root: str, show_gcs: bool, excluded: list[str]) -> None:
        self._gcs_root, self._excluded = gcs_root, set(excluded)
        try:
            shown = show_gcs and namespace.show_gcs(gcs_root)
        except OSError:
            self._send({"ready": False})
            raise
        unsafe = preloading.preload(list(preloading.PROFILES[profile]), self._excluded)
        self._send({"ready": True, "gcs": shown, "unsafe": unsafe})

    def _start(self, request: dict) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(request)
        self._started[pid] = _Started(request["id"])
        self._send({"started": request["id"], "pid": pid})

    def _become(self, request: dict) -> None:
        """In the child; does not return."""
        code = 70  # EX_SOFTWARE of sysexits.h: something here failed, not the task
        try:
            os.setsid()
            namespace.libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != self._process:  # it died before the line above
                os._exit(code)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self._selector.close()
            for inherited in (self._connection, self._wakeup, self._waker):
                inherited.close()
            code = child.become(request, self._gcs_root)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _terminate(self, identifier: str, grace: float) -> None:
        for pid, started in self._started.items():
            if started.identifier == identifier:
                deadline = time.monotonic() + grace
                started.deadline = min(deadline, started.deadline or deadline)
                _signal_group(pid, signal.SIGTERM)

    def _reap(self) -> None:
        while (pid := _ended_child()) is not None:
            started = self._started.get(pid)
            if started is not None and started.deadline is None:
                # What a container's first process leaves behind ends with it. Before the leader is reaped:
                # until then the number of the group cannot go to another.
                _signal_group(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if started is not None:
                started.code = os.waitstatus_to_exitcode(status)

    def _finish(self) -> None:
        """Kills groups whose time is over and reports those that are gone."""
        now = time.monotonic()
        for pid, started in list(self._started.items()):
            if started.deadline is not None and now >= started.deadline:
                _signal_group(pid, signal.SIGKILL)
                started.deadline = None
            if started.code is not None and (started.deadline is None or not _signal_group(pid, 0)):
                del self._started[pid]
                self._send({"exited": started.identifier, "code": started.code})

    def _kill_everything(self) -> None:
        for pid in self._started:
            _signal_group(pid, signal.SIGKILL)
        # Orphans that left their group are adopted here, one generation at a time.
        while pids := _children_of_this_process():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.wait()


def _ended_child() -> int | None:
    """A child that has ended and is not reaped yet."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return ended.si_pid if ended else None


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _children_of_this_process() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def main(descriptor: int) -> None:
    """Serves the socket with this file descriptor."""
    namespace.libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Server(socket.socket(fileno=descriptor)).serve()
