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
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from trainwright.local.options import Options
from trainwright.local.store import Store

if TYPE_CHECKING:
    from trainwright.local.services import Services
    from trainwright.local.services.scheduler import Clock

STATE_VERSION = "1"
PROJECT_ID = "trainwright-local"
PROJECT_NUMBER = "100000000001"
LOCATION = "us-central1"
BUCKET = "trainwright-local"
_PROBED_SECONDS = 1.0


class StateInUse(Exception):
    """Another process serves this state folder."""


class WrongStateVersion(Exception):
    """The state folder was written by another version of trainwright."""


class LocalVertex:
    """A local Vertex AI over a state folder. One process at a time serves a folder.

    Args:
        state: The folder; made when absent, for its owner only.
        port: Port of the proxy on 127.0.0.1; the HTTP server takes the next one. 0 = those of the process
            before this one if they are free, else any.
        options: What the user chose; the defaults when absent.
        resume: Whether to go on with what had not ended; False serves who only wants to look.
        clock: What schedules go by; the computer's when absent.

    Raises:
        StateInUse: Another process serves the folder.
        WrongStateVersion: The folder is of another version.
        OSError: The folder cannot be written, a port is in use, or the disk is full.
    """

    def __init__(
        self,
        state: Path,
        *,
        port: int = 0,
        options: Options | None = None,
        resume: bool = True,
        clock: "Clock | None" = None,
    ) -> None:
        self.state = state.absolute()
        self._resume = resume
        self._port = port
        self._options = options or Options()
        self._clock = clock
        self._closing = contextlib.ExitStack()
        self._environment: dict[str, str] = {}

    def start(self) -> None:
        """Starts to serve."""
        try:
            self._open()
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self.stop()
            if isinstance(error, sqlite3.DatabaseError):
                raise OSError(_reason(error, self.state)) from error
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
        from trainwright.local.bigquery import BigQuery, bigquery_app
        from trainwright.local.storage import Storage, storage_app
        from trainwright.local.wire import Wire

        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._closing.enter_context(_locked(self.state))
        (self.state / "server.json").unlink(missing_ok=True)  # of one that was killed: its ports are gone
        _make_state(self.state)
        store = Store(self.state / "store.sqlite")
        self._closing.callback(store.close)
        storage = Storage(
            self.state / "storage", self.state / "storage.sqlite", project_number=PROJECT_NUMBER
        )
        storage.create_bucket(BUCKET)
        bigquery = BigQuery(
            self.state / "bigquery", storage, project=PROJECT_ID, project_number=PROJECT_NUMBER
        )
        self._closing.callback(bigquery.close)
        services = _LazyServices(lambda: self._make_services(store))
        token = _kept_token(self.state / "credentials" / "token")
        wire = Wire(
            state=self.state,
            services=services,
            storage_app=storage_app(storage, token=token),
            bigquery_app=bigquery_app(bigquery),
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
        # There may be runs to go on with; a container engine that is not there is said at once.
        if not store.is_empty() or self._options.runtime != "process":
            len(services)
        known = {"pid": os.getpid(), "runtime": self._options.runtime, "environment": self._environment}
        _write_private(self.state / "server.json", json.dumps(known))
        self._closing.callback((self.state / "server.json").unlink, missing_ok=True)

    def _make_services(self, store: Store) -> "Services":
        """The services, which go on with what had not ended unless this one only wants to look."""
        from trainwright.local.services import Services

        services = Services(
            store=store,
            state=self.state,
            project=PROJECT_ID,
            project_number=PROJECT_NUMBER,
            client_environment=self._environment,
            bucket=BUCKET,
            options=self._options,
            clock=self._clock,
        )
        if self._resume:
            services.resume()
        return services


class _LazyServices(Mapping[str, object]):
    """The services by name, made when the first call needs them: the SDK's modules take 1 s and 90 MB."""

    def __init__(self, make: "Callable[[], Services]") -> None:
        self._make = make
        self._lock = threading.Lock()
        self._services: Services | None = None
        self._is_closed = False

    def close(self) -> None:
        """Ends the services, if there are any; later nobody makes them any more."""
        with self._lock:
            self._is_closed = True
            if self._services is not None:
                self._services.close()

    def _by_name(self) -> dict[str, object]:
        from google.api_core.exceptions import ServiceUnavailable

        with self._lock:
            if self._services is None:
                if self._is_closed:
                    raise ServiceUnavailable("local Vertex AI is stopping")
                self._services = self._make()
            return self._services.by_name

    def __getitem__(self, name: str) -> object:
        return self._by_name()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name())

    def __len__(self) -> int:
        return len(self._by_name())


def connect(state: Path) -> dict[str, str] | None:
    """The environment of the local Vertex AI that serves `state` now, or None when none does."""
    if not is_served(state):
        return None
    try:
        served = json.loads((state / "server.json").read_text())
        os.kill(served["pid"], 0)
    except (FileNotFoundError, ProcessLookupError):
        return None  # it is just starting, maybe in the place of one that was killed, or just stopping
    return served["environment"]


def is_served(state: Path) -> bool:
    """Whether a process serves `state`, is about to, or is just stopping."""
    try:
        with (state / "lock").open("r") as lock:
            return not _lock(lock, fcntl.LOCK_SH)
    except (FileNotFoundError, NotADirectoryError):
        return False


def serve(state: Path, *, port: int = 0, options: Options | None = None) -> None:
    """Serves until SIGTERM or SIGINT; the arguments are those of `LocalVertex`."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with LocalVertex(state, port=port, options=options):
        ended.wait()


def _make_state(state: Path) -> None:
    for folder in (state / "storage", state / "logs", state / "work"):
        folder.mkdir(mode=0o700, exist_ok=True)
    version = state / "VERSION"
    if not version.exists():
        if (state / "store.sqlite").exists():
            raise WrongStateVersion(
                f"{state}: holds a store but no VERSION; expected version {STATE_VERSION}"
            )
        unfinished = state / "VERSION.unfinished"  # a full disk must not leave a version that is empty
        unfinished.write_text(STATE_VERSION)
        unfinished.replace(version)
    elif (found := version.read_text().strip()) != STATE_VERSION:
        raise WrongStateVersion(
            f"{state}: is of state version {found!r}, expected {STATE_VERSION!r}: use another folder"
            " (TRAINWRIGHT_STATE) or move this one away"
        )


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[None]:
    with (state / "lock").open("a+") as lock:
        deadline = time.monotonic() + _PROBED_SECONDS  # `connect` holds it for an instant
        while not _lock(lock, fcntl.LOCK_EX):
            lock.seek(0)
            holder = lock.read().strip()
            if time.monotonic() > deadline:
                who = f"process {holder}" if holder else "another process"
                raise StateInUse(
                    f"{state}: in use by {who}, expected a folder that no other local Vertex serves"
                )
            time.sleep(0.02)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _lock(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
            raise
        return False
    return True


def _kept_token(path: Path) -> str:
    """The secret of the state folder, made once: clients that run go on when the process is started again."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if found := path.read_text().strip():
            return found
    token = secrets.token_urlsafe(24)
    _write_private(path, token)
    return token


def _reason(error: sqlite3.DatabaseError, state: Path) -> str:
    """SQLite's words for what stopped it, with the folder that they are about."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return f"no space left on the disk of {state}"
    return f"{state}: its database cannot be used: {error}"


def _write_private(path: Path, text: str) -> None:
    """Writes a file for its owner only; others find the whole of it or none."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)


def main() -> None:
    """`python -m trainwright.local.server --state DIR [--port N] [--options JSON]`."""
    import argparse

    parser = argparse.ArgumentParser(description="Serve a local Vertex AI until SIGTERM.")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--options", type=json.loads, default={}, help="as in [local] of trainwright.toml")
    arguments = parser.parse_args()
    logging.raiseExceptions = False  # on a full disk the log cannot be written, which must not fill it more
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        serve(arguments.state, port=arguments.port, options=Options(**arguments.options))
    except (StateInUse, WrongStateVersion, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
