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
from pathlib import Path

from . import child, namespace, preloading

_LOOK_SECONDS = 0.2
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
        process_lock: A file descriptor that is open as long as this process lives, and in no child.
    """

    def __init__(self, connection: socket.socket, process_lock: int) -> None:
        self._connection = connection
        self._process_lock = process_lock
        self._buffer = b""
        self._started: dict[int, _Started] = {}
        self._spare: tuple[int, socket.socket] | None = None
        self._gcs_root = ""
        self._excluded: set[str] = set()
        self._is_ready = False
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
                if self._is_ready and self._spare is None:
                    self._spare = self._fork()
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
            self._send({"preloaded": True, "unsafe": self._preload(modules)})
        else:
            self._configure(**message["configure"])

    def _configure(self, profile: str, gcs_root: str, show_gcs: bool, excluded: list[str]) -> None:
        self._gcs_root, self._excluded = gcs_root, set(excluded)
        try:
            shown = show_gcs and namespace.show_gcs(gcs_root)
        except OSError:
            self._send({"ready": False})
            raise
        unsafe = self._preload(list(preloading.PROFILES[profile]))
        self._send({"ready": True, "gcs": shown, "unsafe": unsafe})

    def _preload(self, modules: list[str]) -> str | None:
        """Imports modules, which takes seconds; meanwhile a timer looks whether the other side has gone."""

        def look(*_: object) -> None:
            with contextlib.suppress(BlockingIOError):
                if not self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                    self._kill_everything()
                    os._exit(1)

        self._drop_spare()
        signal.signal(signal.SIGALRM, look)
        signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _LOOK_SECONDS)
        try:
            unsafe = preloading.preload(modules, self._excluded)
            self._is_ready = unsafe is None
            return unsafe
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _start(self, request: dict) -> None:
        # A child that was forked while there was nothing else to do spares the task 2 ms of waiting.
        pid, connection = self._spare or self._fork()
        self._spare = None
        self._started[pid] = _Started(request["id"])
        # Should it have been killed, it is reaped as the task's process.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError), connection:
            connection.sendall(json.dumps(request).encode())
        self._send({"started": request["id"], "pid": pid})

    def _fork(self) -> tuple[int, socket.socket]:
        """A child that waits for its request, and this end of the socket on which it does."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._become(theirs)
        theirs.close()
        return pid, ours

    def _drop_spare(self) -> None:
        """Ends the child that waits: it has not what is going to be imported."""
        if self._spare is not None:
            self._spare[1].close()
            self._spare = None

    def _become(self, connection: socket.socket) -> None:
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
            os.close(self._process_lock)
            with connection, connection.makefile("rb") as stream:
                request = stream.read()
            if request:
                code = child.become(json.loads(request), self._gcs_root)
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
                strays = [*_strangers(pid), *self._strays(identifier)]  # before their parents end
                _signal_group(pid, signal.SIGTERM)
                _signal_all(strays, signal.SIGTERM)

    def _reap(self) -> None:
        while (pid := _ended_child()) is not None:
            started = self._started.get(pid)
            if started is not None and started.deadline is None:
                # What a container's first process leaves behind ends with it. Before the leader is reaped:
                # until then the number of the group cannot go to another.
                _signal_group(pid, signal.SIGKILL)
                _signal_all(self._strays(started.identifier), signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if self._spare is not None and pid == self._spare[0]:
                self._drop_spare()
            if started is not None:
                started.code = os.waitstatus_to_exitcode(status)

    def _finish(self) -> None:
        """Kills groups whose time is over and reports those that are gone."""
        now = time.monotonic()
        for pid, started in list(self._started.items()):
            if started.deadline is not None and now >= started.deadline:
                strays = [*_strangers(pid), *self._strays(started.identifier)]
                _signal_group(pid, signal.SIGKILL)
                _signal_all(strays, signal.SIGKILL)
                started.deadline = None
            if started.code is not None and (started.deadline is None or not self._is_left(pid, started)):
                del self._started[pid]
                self._send({"exited": started.identifier, "code": started.code})

    def _is_left(self, pid: int, started: _Started) -> bool:
        """Whether anything of a process whose leader has ended still runs."""
        return _signal_group(pid, 0) or bool(self._strays(started.identifier))

    def _strays(self, identifier: str) -> list[int]:
        """What a started process has left behind in other groups: this process adopts its orphans."""
        mark = f"{child.MARK}={identifier}".encode()
        orphans = [pid for pid in _children(os.getpid()) if pid not in self._started]
        return [each for pid in orphans if mark in _environment(pid) for each in (pid, *_descendants(pid))]

    def _kill_everything(self) -> None:
        for pid in self._started:
            _signal_group(pid, signal.SIGKILL)
        # Orphans that left their group are adopted here, one generation at a time.
        while pids := _children(os.getpid()):
            _signal_all(pids, signal.SIGKILL)
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


def _signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _strangers(leader: int) -> list[int]:
    """Descendants of a group's leader that have left its group."""
    return [pid for pid in _descendants(leader) if _group_of(pid) not in (leader, None)]


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _descendants(pid: int) -> list[int]:
    found = _children(pid)
    for each in found:  # grows while it is walked
        found += _children(each)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += [int(number) for number in (thread / "children").read_text(encoding="ascii").split()]
    return found


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def main(descriptor: int, process_lock: int) -> None:
    """Serves the socket with this file descriptor, holding the lock of the other one."""
    namespace.libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Server(socket.socket(fileno=descriptor), process_lock).serve()
