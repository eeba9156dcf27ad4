"""Local Vertex AI as a process of its own that is killed, and the SDK in another that submits to it."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler

from trainwright.local.server import connect

_SUBMIT = """
import json, os, sys
from pathlib import Path
from trainwright.local.server import connect
state, template, parameters, *job_ids = sys.argv[1:]
os.environ.update(connect(Path(state)))  # before anything imports Google's clients
from google.cloud import aiplatform
for job_id in job_ids:
    aiplatform.PipelineJob(
        display_name=job_id, job_id=job_id, template_path=template, enable_caching=False,
        pipeline_root=f"gs://trainwright-local/{job_id}", parameter_values=json.loads(parameters),
        project="trainwright-local", location="us-central1",
    ).submit()
"""
_QUERY = """
import json, sqlite3, sys
path, query, *values = sys.argv[1:]
with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
    print(json.dumps(store.execute(query, values).fetchall()))
"""
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
TASK_ENDED = (*ENDED, "SKIPPED", "NOT_TRIGGERED")


class Vertex:
    """A state folder, and the process that serves it when there is one.

    Args:
        folder: The state folder is `state` in it.
        megabytes: Of a disk of its own, which only the serving process and `submit` see there; 0: none.
    """

    def __init__(self, folder: Path, megabytes: int = 0) -> None:
        self._megabytes = megabytes
        self.state = folder / "state"
        self.marks = folder / "marks"
        self.marks.mkdir(parents=True)
        self._log = (folder / "server.log").open("w+")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True, **options: Any) -> None:
        command = [sys.executable, "-m", "trainwright.local.server", "--state", str(self.state)]
        command += ["--options", json.dumps(options)]
        if self._megabytes:
            self.state.mkdir(exist_ok=True)
            mount = f'mount -t tmpfs -o size={self._megabytes}m,mode=700 tmpfs "$0"; exec "$@"'
            namespace = ["unshare", "--user", "--map-root-user", "--mount"]
            command = [*namespace, "sh", "-ec", mount, str(self.state), *command]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, start_new_session=True)
        if wait:
            until(lambda: connect(self.seen) is not None, self.said)

    def _inside(self) -> list[str]:
        """What runs a command where the disk is seen."""
        if not self._megabytes or self._process is None:
            return []
        return ["nsenter", f"--target={self._process.pid}", "--user", "--mount", "--preserve-credentials"]

    @property
    def seen(self) -> Path:
        """The state folder as this process finds it."""
        if not self._megabytes or self._process is None:
            return self.state
        return Path(f"/proc/{self._process.pid}/root{self.state}")

    def kill(self) -> float:
        """Kills the serving process; the seconds until nothing that it had started is left."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        before = time.monotonic()
        until(lambda: not self.processes(), lambda: f"left: {self.processes()}", seconds=30)
        return time.monotonic() - before

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def said(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def submit(self, template: Path, *job_ids: str, **parameters: Any) -> None:
        given = json.dumps({"folder": str(self.marks), **parameters})
        command = [sys.executable, "-c", _SUBMIT, str(self.state), str(template), given, *job_ids]
        subprocess.run([*self._inside(), *command], check=True, capture_output=True)

    def query(self, query: str, *values: str) -> list[list[Any]]:
        """Asks the store, without the process that serves it."""
        if self._megabytes:  # SQLite follows the link to the other root, and would look in this one
            command = [sys.executable, "-c", _QUERY, str(self.state / "store.sqlite"), query, *values]
            done = subprocess.run([*self._inside(), *command], check=True, capture_output=True)
            return json.loads(done.stdout)
        return _rows(self.state / "store.sqlite", query, *values)

    def write(self, name: str, payload: str) -> None:
        """Changes a record while nothing serves the folder: as if it had been killed before a later write."""
        with contextlib.closing(sqlite3.connect(self.state / "store.sqlite")) as connection, connection:
            connection.execute("UPDATE records SET payload = ? WHERE name = ?", (payload.encode(), name))
            # What is derived from records is made anew at the next start, as it is for a store of before.
            connection.execute("DELETE FROM summaries")
            connection.execute("DELETE FROM summarized")

    def records(self, kind: str, part: str = "") -> dict[str, str]:
        """Payloads of the store by name."""
        query = "SELECT name, CAST(payload AS TEXT) FROM records WHERE kind = ? AND name LIKE ?"
        return dict(self.query(f"{query} ORDER BY sequence", kind, f"%{part}%"))

    def names(self, kind: str) -> list[str]:
        """Names of the store's records of a kind, whose payload may be no text."""
        return [name for (name,) in self.query("SELECT name FROM records WHERE kind = ?", kind)]

    def tasks(self, job_id: str) -> dict[str, dict]:
        found = self.records("pipelineTask", f"/{job_id}/tasks/").values()
        return {task["path"]: task for task in map(json.loads, found)}

    def run(self, job_id: str) -> dict:
        found = [json.loads(row) for row in self.records("run", f"/pipelineJobs/{job_id}/run").values()]
        return found[0] if found else {"state": ""}

    def wait(self, job_id: str, seconds: float = 120) -> str:
        def ended() -> bool:
            return self.run(job_id)["state"].rpartition("_")[2] in ENDED

        until(ended, lambda: f"{self.run(job_id)} {self.said()}", seconds=seconds)
        return self.run(job_id)["state"].removeprefix("PIPELINE_STATE_")

    def lines(self) -> dict[str, int]:
        """How often each task's program has run: lines of the file that is named for it."""
        return {path.name: len(path.read_text().splitlines()) for path in self.marks.iterdir()}

    def processes(self) -> dict[int, str]:
        """Processes, the serving one aside, that were started for this state folder."""
        own = self._process.pid if self._process is not None else 0
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) not in (own, os.getpid()):
                with contextlib.suppress(OSError):
                    words = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
                    if os.fsencode(self.state) in words:
                        found[int(folder.name)] = words[:200].decode(errors="replace")
        return found


def _rows(path: Path, query: str, *values: str) -> list[list[Any]]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query, values).fetchall()


def until(condition: Callable[[], bool], said: Callable[[], str], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.02)


def compiled(pipeline: Any, folder: Path) -> Path:
    path = folder / f"{pipeline.name}.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return path


def outputs(tasks: Mapping[str, dict]) -> dict[str, Any]:
    """What tasks came to; a launcher's note holds the job's id, which no two runs share."""
    return {
        path: (
            task["state"],
            {k: v for k, v in task["outputs"]["parameters"].items() if k != "gcp_resources"},
        )
        for path, task in tasks.items()
    }


@pytest.fixture
def vertices(tmp_path: Path) -> Iterator[Callable[[str], Vertex]]:
    made: list[Vertex] = []

    def make(name: str, megabytes: int = 0) -> Vertex:
        made.append(Vertex(tmp_path / name, megabytes))
        return made[-1]

    yield make
    for vertex in made:
        vertex.stop()
