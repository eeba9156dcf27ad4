"""A local Vertex AI: the rooms put together over one state folder.

Started inside a command (`LocalVertex(state)` as a context manager) or as a process of its own
(`python -m trainwright.local.server --state DIR`, what `trainwright local up` does).
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from trainwright.local.store import Store

STATE_VERSION = "1"
PROJECT_ID = "trainwright-local"
PROJECT_NUMBER = "100000000001"
LOCATION = "us-central1"
BUCKET = "trainwright-local"


class StateInUse(Exception):
    """Another process serves this state folder."""


class WrongStateVersion(Exception):
    """The state folder was written by another version of trainwright."""


class LocalVertex:
    """A local Vertex AI over a state folder. One process at a time serves a folder.

    Args:
        state: The folder; made when absent, for its owner only.
        port: Port of the HTTP server on 127.0.0.1; 0 = any free one.

    Raises:
        StateInUse: Another process serves the folder.
        WrongStateVersion: The folder is of another version.
        OSError: The folder cannot be written, the port is in use, or the disk is full.
    """

    def __init__(self, state: Path, *, port: int = 0) -> None:
        self.state = state.absolute()
        self._port = port
        self._closing = contextlib.ExitStack()
        self._environment: dict[str, str] = {}

    def start(self) -> None:
        """Starts to serve, and goes on with every run and job that had not ended."""
        try:
            self._open()
        except BaseException:
            self.stop()
            raise

    def environment(self) -> dict[str, str]:
        """The variables with which a process's Google clients talk to this local Vertex AI."""
        return dict(self._environment)

    def stop(self) -> None:
        """Stops serving. Runs that have not ended go on at the next start."""
        self._closing.close()

    def __enter__(self) -> "LocalVertex":
        self.start()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _open(self) -> None:
        from trainwright.local.services import Services
        from trainwright.local.storage import Storage, storage_app
        from trainwright.local.wire import Wire

        _make_state(self.state)
        self._closing.enter_context(_locked(self.state))
        store = Store(self.state / "store.sqlite")
        self._closing.callback(store.close)
        storage = Storage(
            self.state / "storage", self.state / "storage.sqlite", project_number=PROJECT_NUMBER
        )
        storage.create_bucket(BUCKET)
        services = Services(
            store=store,
            state=self.state,
            project=PROJECT_ID,
            project_number=PROJECT_NUMBER,
            client_environment=self._environment,
        )
        token = secrets.token_urlsafe(24)
        wire = Wire(
            state=self.state,
            services=services.by_name,
            storage_app=storage_app(storage, token=token),
            store=store,
            project=PROJECT_ID,
            location=LOCATION,
            token=token,
            port=self._port,
        )
        self._closing.callback(wire.stop)
        self._closing.callback(services.close)  # first: a process that loses its server would count as failed
        wire.start()
        self._environment.update(wire.environment())
        services.resume()
        _write_private(
            self.state / "server.json", json.dumps({"pid": os.getpid(), "environment": self._environment})
        )
        self._closing.callback((self.state / "server.json").unlink, missing_ok=True)


def connect(state: Path) -> dict[str, str] | None:
    """The environment of the local Vertex AI that serves `state` now, or None when none does."""
    try:
        with (state / "lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
            raise
        try:
            return json.loads((state / "server.json").read_text())["environment"]
        except FileNotFoundError:
            return None  # it is just starting, or just stopping
    return None


def serve(state: Path, *, port: int = 0) -> None:
    """Serves until SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with LocalVertex(state, port=port):
        ended.wait()


def _make_state(state: Path) -> None:
    for folder in (state, state / "storage", state / "logs", state / "work"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    version = state / "VERSION"
    if not version.exists():
        if (state / "store.sqlite").exists():
            raise WrongStateVersion(
                f"{state}: holds a store but no VERSION; expected version {STATE_VERSION}"
            )
        version.write_text(STATE_VERSION)
    elif (found := version.read_text().strip()) != STATE_VERSION:
        raise WrongStateVersion(
            f"{state}: is of state version {found!r}, expected {STATE_VERSION!r}: use another folder"
            " (TRAINWRIGHT_STATE) or move this one away"
        )


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[None]:
    lock = (state / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
            raise
        raise StateInUse(f"{state}: another process serves this state folder") from None
    try:
        yield
    finally:
        lock.close()


def _write_private(path: Path, text: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def main() -> None:
    """`python -m trainwright.local.server --state DIR [--port N]`."""
    import argparse

    parser = argparse.ArgumentParser(description="Serve a local Vertex AI until SIGTERM.")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        serve(arguments.state, port=arguments.port)
    except (StateInUse, WrongStateVersion, OSError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
