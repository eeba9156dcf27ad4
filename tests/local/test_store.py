import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from trainwright.local.store import Store


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store.sqlite")
    yield store
    store.close()


def test_a_record_is_read_back_and_counts_its_versions(store):
    store.create("a/b", "run", b'{"x": 1}')
    with pytest.raises(FileExistsError):
        store.create("a/b", "run", b"")
    assert store.write("a/b", "run", b"{}").version == 2
    assert store.read("a/b").json() == {}
    assert store.delete("a/b")
    assert not store.delete("a/b")
    assert store.read("a/b") is None


def test_list_is_by_kind_and_prefix_in_order_of_creation(store):
    for name in ("p/2", "p/1", "q/1"):
        store.create(name, "run", b"")
    store.create("p/3", "artifact", b"")
    store.write("p/2", "run", b"again")
    assert [record.name for record in store.list("run", "p/")] == ["p/2", "p/1"]


def test_write_many_is_all_or_nothing(store):
    with pytest.raises(sqlite3.Error):
        store.write_many([("a", "run", b""), ("b", None, b"")])
    assert store.list("run") == []


def test_subscribers_hear_of_a_change_after_it_is_readable(store):
    heard = []
    end = store.subscribe(lambda name: heard.append((name, store.read(name) is not None)))
    store.write("a", "run", b"")
    end()
    store.write("b", "run", b"")
    assert heard == [("a", True)]


def test_events_are_numbered_and_kept_by_name(store):
    first = store.append("a", {"state": "RUNNING"})
    store.append("b", {})
    store.append("a", {"state": "SUCCEEDED"})
    assert [event.payload["state"] for event in store.events("a", after=first)] == ["SUCCEEDED"]


def test_threads_may_write_at_once(store):
    def write(worker):
        for number in range(50):
            store.write(f"{worker}/{number}", "run", b"")

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.list("run")) == 400


def test_what_was_committed_survives_kill_9(tmp_path):
    program = (
        "import sys; from pathlib import Path; from trainwright.local.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "for number in range(10**9):\n"
        "    store.write(str(number), 'run', b'x'); print(number, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if int(line) == 200:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    store = Store(tmp_path / "s")
    assert len(store.list("run")) >= 201
    store.close()
