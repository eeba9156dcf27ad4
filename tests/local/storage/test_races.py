"""Preconditions under racing threads, below HTTP, where the races are tightest."""

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from trainwright.local.storage import Storage
from trainwright.local.storage.errors import ApiError, NotFound, PreconditionFailed
from trainwright.local.storage.listing import Selection
from trainwright.local.storage.objects import Target
from trainwright.local.storage.preconditions import Preconditions

THREADS = 64


@pytest.fixture
def storage(tmp_path) -> Iterator[Storage]:
    storage = Storage(tmp_path / "storage", tmp_path / "storage.sqlite", project_number="1")
    storage.create_bucket("bucket")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield storage
    sys.setswitchinterval(interval)
    storage.close()


def race(call: Callable[[int], object]) -> list[object]:
    """Calls from all threads at once; returns what each call returned or raised."""
    start = threading.Barrier(THREADS)
    outcomes: list[object] = [None] * THREADS

    def run(number: int) -> None:
        start.wait()
        try:
            outcomes[number] = call(number)
        except ApiError as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def insert(storage: Storage, name: str, content: str, generation: int | None = None) -> object:
    with storage.objects.stage() as staged:
        staged.write(content.encode())
        conditions = Preconditions(generation_match=generation)
        return storage.objects.insert(Target("bucket", name, None, conditions), staged, {})


def won(outcomes: list[object]) -> list[object]:
    return [outcome for outcome in outcomes if not isinstance(outcome, ApiError)]


def test_one_creator_wins(storage):
    for number in range(5):
        name = f"deep/{number}/created"
        outcomes = race(lambda thread, name=name: insert(storage, name, str(thread), generation=0))
        assert len(won(outcomes)) == 1
        assert all(
            isinstance(outcome, PreconditionFailed) for outcome in outcomes if outcome not in won(outcomes)
        )
        content = storage.path(f"gs://bucket/{name}").read_text()
        assert not isinstance(outcomes[int(content)], ApiError)


def test_one_of_those_who_replace_move_compose_or_delete_a_version_wins(storage):
    for _ in range(5):
        live = insert(storage, "live", "x")
        this = Preconditions(generation_match=live.generation)
        target = Target("bucket", "live", None, this)

        def change(thread: int, target: Target = target, generation: int = live.generation) -> object:
            if thread % 4 == 0:
                return insert(storage, "live", "y", generation)
            if thread % 4 == 1:
                return storage.objects.delete(target)
            if thread % 4 == 2:
                return storage.objects.move(target, Target("bucket", f"moved/{thread}"))
            return storage.objects.compose([Target("bucket", "live")], target, {})

        outcomes = race(change)
        assert len(won(outcomes)) == 1
        assert all(
            isinstance(outcome, PreconditionFailed | NotFound)
            for outcome in outcomes
            if isinstance(outcome, ApiError)
        )


def test_no_patch_is_lost(storage):
    insert(storage, "patched", "x")
    race(lambda thread: storage.objects.update(Target("bucket", "patched"), patch(thread), merge=True))
    stored = storage.objects.get(Target("bucket", "patched"))
    assert stored.attributes["metadata"] == {str(thread): "x" for thread in range(THREADS)}
    assert stored.metageneration == 1 + THREADS


def patch(thread: int) -> dict[str, object]:
    return {"metadata": {str(thread): "x"}}


def test_files_folders_and_listings_at_once(storage):
    """Names that rule each other out: whatever wins, a listing shows the files that are there."""

    def change(thread: int) -> object:
        if thread % 3 == 0:
            return insert(storage, "a", "file")
        if thread % 3 == 1:
            insert(storage, f"a/{thread % 2}/b", "below")
            return storage.objects.delete(Target("bucket", f"a/{thread % 2}/b"))
        return storage.objects.list("bucket", Selection(delimiter="/"))

    for _ in range(3):
        race(change)
        listed = {stored.name for stored in storage.objects.list("bucket", Selection())[0]}
        folder = storage.path("gs://bucket")
        assert listed == {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        for name in listed:
            storage.objects.delete(Target("bucket", name))
