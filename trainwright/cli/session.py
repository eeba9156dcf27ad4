"""Gives a command the Vertex AI that its environment means: the cloud's, or the state folder's local one."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainwright.cli.output import note
from trainwright.errors import UserError

if TYPE_CHECKING:
    from trainwright.local.server import LocalVertex
    from trainwright.settings import Environment

# Set by local Vertex in the environment of its clients, whatever environment a command names.
_CLIENT_OF_LOCAL = "TRAINWRIGHT_OUTSIDE"
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Session:
    """What a command talks to.

    Attributes:
        environment: The environment's settings.
        state: The state folder of a local Vertex AI, else None.
        embedded: Whether the local Vertex AI runs inside this command and ends with it.
    """

    environment: "Environment"
    state: Path | None = None
    embedded: bool = False

    def is_up(self) -> bool:
        """Whether what it talks to is still there, as far as can be told from here."""
        return self.state is None or self.embedded or server_process(self.state) is not None


@contextlib.contextmanager
def vertex(environment: "Environment", *, outlive: bool = False) -> Iterator[Session]:
    """Makes sure that the environment's Vertex AI answers, while the context lasts.

    A local one that is up for the state folder already is used as it is; else one is started inside this
    command. Call it before anything imports Google's clients, which read the variables set here.

    Args:
        environment: From `trainwright.settings`.
        outlive: Whether what is begun must go on after the command: then a local one is started beside it.

    Raises:
        UserError: Local Vertex cannot be started.
    """
    if not environment.is_local:
        if _CLIENT_OF_LOCAL in os.environ:
            raise UserError(
                f"--env {environment.name}: this shell's Google clients talk to local Vertex"
                " (`trainwright local env` or `exec`); use another shell"
            )
        yield Session(environment)
        return
    from trainwright.settings import state_folder

    state = state_folder()
    with _translated(state):
        variables = _connect(state)
        server = None
        if variables is None and outlive:
            variables = start_beside(state)
            note(f"local Vertex is up for {state} (`trainwright local down` stops it)")
        elif variables is None:
            variables, server = _start_inside(state)
    os.environ.update(variables)
    if server is None:
        yield Session(environment, state)
        return
    try:
        with _interrupted_by_termination():
            yield Session(environment, state, embedded=True)
    finally:
        server.stop()


def start_beside(state: Path) -> dict[str, str]:
    """Starts a local Vertex AI as a process of its own, and waits until it answers.

    Args:
        state: The state folder; the process's log is `logs/server.log` in it.

    Returns:
        The variables with which clients reach it.

    Raises:
        UserError: It did not start; the line says why and where its log is.
    """
    log = server_log(state)
    with _translated(state):
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        log.parent.mkdir(mode=0o700, exist_ok=True)
        stream = log.open("ab")
    before = log.stat().st_size
    with stream:
        process = subprocess.Popen(
            # -P: what lies in the current folder must not be taken for a library.
            [sys.executable, "-P", "-m", "trainwright.local.server", "--state", str(state)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        variables = _connect(state)
        if variables is not None:
            return variables
        if process.poll() is not None:
            raise UserError(f"local Vertex did not start: {_last_line(log, before)}; log: {log}")
        time.sleep(0.05)
    process.terminate()
    raise UserError(f"local Vertex did not answer within {_START_SECONDS:.0f} s; log: {log}")


def stop_beside(state: Path) -> bool:
    """Stops the local Vertex AI that serves a state folder, and waits until it has gone.

    Returns:
        Whether there was one.

    Raises:
        UserError: It does not stop.
    """
    process = server_process(state)
    if process is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline:
        if not _is_alive(process):
            return True
        time.sleep(0.05)
    raise UserError(f"local Vertex (process {process}) did not stop within {_STOP_SECONDS:.0f} s")


def server_process(state: Path) -> int | None:
    """The process that serves a state folder now, or None."""
    import json

    if _connect(state) is None:
        return None
    try:
        return int(json.loads((state / "server.json").read_text())["pid"])
    except FileNotFoundError:
        return None  # it has just stopped


def server_log(state: Path) -> Path:
    """Where a local Vertex AI of a state folder writes what it has to say itself."""
    return state / "logs" / "server.log"


def _log_to(path: Path) -> None:
    """Sends what is logged in this process to a file: a command's own output is for its user."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)


def _connect(state: Path) -> dict[str, str] | None:
    from trainwright.local.server import connect

    return connect(state)


def _start_inside(state: Path) -> "tuple[dict[str, str], LocalVertex | None]":
    """Starts a local Vertex AI in this process, unless another command is just starting one."""
    from trainwright.local.server import LocalVertex, StateInUse

    deadline = time.monotonic() + _START_SECONDS
    while True:
        server = LocalVertex(state)
        try:
            server.start()
            _log_to(server_log(state))
        except StateInUse:
            variables = _connect(state)
            if variables is not None:
                return variables, None
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return server.environment(), server


@contextlib.contextmanager
def _translated(state: Path) -> Iterator[None]:
    """Says in one line why local Vertex cannot start."""
    try:
        from trainwright.local.server import StateInUse, WrongStateVersion
    except ModuleNotFoundError as error:
        raise UserError(
            f"local Vertex needs the extra: pip install 'trainwright[local]' ({error})"
        ) from error
    try:
        yield
    except (StateInUse, WrongStateVersion) as error:
        raise UserError(str(error)) from error
    except ModuleNotFoundError as error:
        raise UserError(
            f"local Vertex needs the extra: pip install 'trainwright[local]' ({error})"
        ) from error
    except OSError as error:
        raise UserError(f"local Vertex cannot start in {state}: {error}") from error


@contextlib.contextmanager
def _interrupted_by_termination() -> Iterator[None]:
    """Takes SIGTERM as Ctrl-C, so that an embedded local Vertex is stopped and its processes with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _last_line(log: Path, offset: int) -> str:
    with log.open("rb") as file:
        file.seek(offset)
        lines = [line for line in file.read().decode("utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else "it ended without a word"


def _is_alive(process: int) -> bool:
    with contextlib.suppress(ChildProcessError):  # ours if this very process started it, as tests do
        os.waitpid(process, os.WNOHANG)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
