"""The room on a state folder, with what its user would see."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trainwright.local.execution import Executor
from trainwright.local.store import Store
from trainwright.local.training import CustomJobs

NAME = "projects/trainwright-local/locations/us-central1/customJobs/77"


class Room:
    """The room, and the jobs that it runs; 77 is the one that is meant unless another is named."""

    def __init__(self, state: Path, slots: int | None = None, preempt_every: float | None = None) -> None:
        self.state = state
        state.mkdir(exist_ok=True)
        (state / "storage" / "bucket").mkdir(parents=True, exist_ok=True)
        self.store = Store(state / "store.sqlite")
        self.states: list[str] = []
        self.store.subscribe(lambda name: self.states.append(self.run["state"]))
        self.executor = Executor(
            state=state, client_environment={"CLIENT": "local"}, gcs_root=state / "storage", slots=slots
        )
        self.jobs = CustomJobs(
            store=self.store, executor=self.executor, state=state, preempt_every=preempt_every
        )

    @property
    def run(self) -> dict:
        record = self.store.read(f"{NAME}/run")
        return json.loads(record.payload) if record else {"state": None}

    def start(self, spec: dict) -> None:
        self.jobs.check(spec)
        self.jobs.start(NAME, spec, project_number="100000000001", labels={})

    def wait_for(self, *states: str) -> dict:
        for _ in range(1200):
            if self.run["state"] in states:
                return self.run
            time.sleep(0.025)
        raise AssertionError(f"{self.run} did not become {states}; log: {self.log()}")

    def wait_for_file(self, path: str) -> str:
        file = self.state / "storage" / "bucket" / path
        for _ in range(1200):
            if file.exists() and (text := file.read_text()):
                return text
            time.sleep(0.025)
        raise AssertionError(f"{path} did not appear; {self.run}; log: {self.log()}")

    def log(self, replica: str = "workerpool0-0") -> str:
        path = self.state / "logs" / "customJobs" / "77" / f"{replica}.log"
        return path.read_text() if path.exists() else ""

    def logs(self) -> dict[str, str]:
        folder = self.state / "logs" / "customJobs" / "77"
        return {path.stem: path.read_text() for path in sorted(folder.glob("*.log"))}

    def close(self) -> None:
        self.jobs.close()
        self.executor.close()
        self.store.close()


@pytest.fixture
def open_room(tmp_path: Path) -> Iterator[Callable[..., Room]]:
    """Opens the room on the state folder of this test, closed before if it was open."""
    rooms: list[Room] = []

    def open_one(**options: object) -> Room:
        rooms.append(Room(tmp_path / "state", **options))
        return rooms[-1]

    yield open_one
    for room in rooms:
        room.close()


@pytest.fixture
def room(open_room: Callable[..., Room]) -> Room:
    return open_room()
