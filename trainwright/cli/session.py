"""Gives a command the Vertex AI that its environment means: the cloud's, or the state folder's local one.

Commands that use the local one at the same time share it, wherever it runs. Each holds the file `clients` of
the state folder with a shared lock; the command that it runs inside waits for the others before it ends.
"""

import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.cli.output import note
from trainwright.errors import UserError

if TYPE_CHECKING:
    from trainwright.local.server import LocalVertex
    from trainwright.settings import Environment

# Set by local Vertex in the environment of its clients, whatever environment a command names.
_CLIENT_OF_LOCAL = "TRAINWRIGHT_OUTSIDE"
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
_LEAST_FREE_BYTES = 4096


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
def vertex(
    environment: "Environment", *, outlive: bool = False, resume: bool = True, runtime: str | None = None
) -> Iterator[Session]:
    """Makes sure that the environment's Vertex AI answers, while the context lasts.

    A local one that is up for the state folder already is used as it is; else one is started inside this
    command. Call it before anything imports Google's clients, which read the variables set here.

    Args:
        environment: From `trainwright.settings`.
        outlive: Whether what is begun must go on after the command: then a local one is started beside it.
        resume: Whether one that is started inside this command goes on with runs that had not ended.
        runtime: What tasks run in, in place of what `trainwright.toml` says; of a local one only.

    Raises:
        UserError: Local Vertex cannot be started, or is up with another runtime.
    """
    if runtime is not None and not environment.is_local:
        raise UserError(f"--runtime {runtime}: found --env {environment.name}, expected --env local")
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
    with _client(state) as clients:
        variables = connect(state)
        server = None
        if variables is not None:
            check_runtime(state, runtime)
        if variables is None and outlive:
            variables = start_beside(state, runtime=runtime)
            note(f"local Vertex is up for {state} (`trainwright local down` stops it)")
        elif variables is None:
            variables, server = _start_inside(state, resume=resume, runtime=runtime)
        os.environ.update(variables)
        if server is None:
            yield Session(environment, state)
            return
        try:
            with _interrupted_by_termination():
                try:
                    yield Session(environment, state, embedded=True)
                finally:
                    if not isinstance(sys.exception(), KeyboardInterrupt):
                        _wait_for_other_clients(clients)
        finally:
            server.stop()


def connect(state: Path) -> dict[str, str] | None:
    """The variables with which clients reach the local Vertex AI that serves a state folder now, or None.

    Raises:
        UserError: The folder cannot be looked into.
    """
    with _translated(state):
        from trainwright.local.server import connect as connect_to

        return connect_to(state)


def start_beside(state: Path, *, port: int = 0, runtime: str | None = None) -> dict[str, str]:
    """Starts a local Vertex AI as a process of its own, and waits until it answers.

    Args:
        state: The state folder; the process's log is `logs/server.log` in it.
        port: The first of the two ports that it takes on 127.0.0.1; 0 for any free ones.
        runtime: What tasks run in, in place of what `trainwright.toml` says.

    Returns:
        The variables with which clients reach it.

    Raises:
        UserError: It did not start; the line says why and where its log is.
    """
    chosen = json.dumps(_chosen(runtime))
    log = server_log(state)
    with _translated(state):
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stream = log.open("ab")
    before = log.stat().st_size
    options = ("--state", str(state), "--port", str(port), "--options", chosen)
    with stream:
        process = subprocess.Popen(
            # -P: what lies in the current folder must not be taken for a library.
            [sys.executable, "-P", "-m", "trainwright.local.server", *options],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        variables = connect(state)
        if variables is not None:
            return variables
        if process.poll() is not None and not _is_served(state):
            raise UserError(f"local Vertex did not start: {_last_words(log, before)}; log: {log}")
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
    if connect(state) is None:
        return None
    try:
        return int(json.loads((state / "server.json").read_text())["pid"])
    except FileNotFoundError:
        return None  # it has just stopped


def check_runtime(state: Path, runtime: str | None) -> None:
    """Makes sure that the local Vertex AI that is up runs tasks as this command asks; None asks nothing.

    Raises:
        UserError: It runs them otherwise.
    """
    if runtime is None:
        return
    with contextlib.suppress(FileNotFoundError):  # it has just stopped
        found = json.loads((state / "server.json").read_text())["runtime"]
        if found != runtime:
            raise UserError(
                f"--runtime {runtime}: local Vertex is up for {state} with runtime {found!r}:"
                " run `trainwright local down` first"
            )


def server_log(state: Path) -> Path:
    """Where a local Vertex AI of a state folder writes what it has to say itself."""
    return state / "logs" / "server.log"


def _log_to(path: Path) -> None:
    """Sends what is logged in this process to a file: a command's own output is for its user."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)


def _is_served(state: Path) -> bool:
    from trainwright.local.server import is_served

    return is_served(state)


@contextlib.contextmanager
def _client(state: Path) -> Iterator[int]:
    """Counts this command among those that use the folder's local Vertex AI; gives the lock's descriptor.

    While a command ends the local Vertex AI that ran inside it, this waits.
    """
    with _translated(state):
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state / "clients", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_for_other_clients(clients: int) -> None:
    try:
        fcntl.flock(clients, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note("another command uses the local Vertex of this one: waiting for it to end (Ctrl-C stops both)")
        fcntl.flock(clients, fcntl.LOCK_EX)


def _chosen(runtime: str | None) -> dict[str, Any]:
    """The options of a local Vertex AI that is to be started: the settings', and those of this command."""
    from trainwright.settings import find_local

    settings = find_local().model_dump()
    return settings if runtime is None else {**settings, "runtime": runtime}


def _start_inside(
    state: Path, *, resume: bool, runtime: str | None
) -> "tuple[dict[str, str], LocalVertex | None]":
    """Starts a local Vertex AI in this process, unless another command is just starting one."""
    chosen = _chosen(runtime)
    with _translated(state):
        from trainwright.local.options import Options
        from trainwright.local.server import LocalVertex, StateInUse

        deadline = time.monotonic() + _START_SECONDS
        while True:
            server = LocalVertex(state, options=Options(**chosen), resume=resume)
            try:
                server.start()
                _log_to(server_log(state))
            except StateInUse:
                variables = connect(state)
                if variables is not None:
                    check_runtime(state, runtime)
                    return variables, None
                if time.monotonic() > deadline:
                    raise
            else:
                return server.environment(), server


@contextlib.contextmanager
def _translated(state: Path) -> Iterator[None]:
    """Says in one line why local Vertex cannot start."""
    if state.exists() and not state.is_dir():
        raise UserError(f"{state}: is a file, expected a state folder (TRAINWRIGHT_STATE)")
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
        raise UserError(f"local Vertex cannot start in {state}: {_os_reason(error, state)}") from error


def _os_reason(error: OSError, state: Path) -> str:
    if error.strerror is None:
        return str(error)
    if error.filename is None or str(error.filename) == str(state):
        return error.strerror
    return f"{error.strerror}: {error.filename}"


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


def _last_words(log: Path, offset: int) -> str:
    with log.open("rb") as file:
        file.seek(offset)
        lines = [line for line in file.read().decode("utf-8", errors="replace").splitlines() if line.strip()]
    if lines:
        return lines[-1].removeprefix("error: ")
    if shutil.disk_usage(log.parent).free < _LEAST_FREE_BYTES:
        return f"no space left on the disk of {log.parent.parent}"
    return "it ended without a word"


def _is_alive(process: int) -> bool:
    with contextlib.suppress(ChildProcessError):  # ours if this very process started it, as tests do
        os.waitpid(process, os.WNOHANG)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
