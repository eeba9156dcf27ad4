"""Jobs of several replicas as real processes: they talk, they die, they are preempted, they are cancelled."""

import json
import re
import time
from collections.abc import Callable, Mapping

import pytest

NAME = "projects/trainwright-local/locations/us-central1/customJobs/77"
SPOT = {"scheduling": {"strategy": "SPOT"}}
ALL_AGAIN = {"scheduling": {"restartJobOnWorkerRestart": True}}

# Every program begins so: `first` is whether this replica runs for the first time.
_HEAD = """
import json, os, signal, socket, sys, time
spec = json.loads(os.environ["CLUSTER_SPEC"])
kind, index = spec["task"]["type"], spec["task"]["index"]
bucket = os.environ["BUCKET"]
def address(kind, index):
    host, port = spec["cluster"][kind][index].split(":")
    return host, int(port)
def note(name):
    with open(f"{bucket}/{name}", "a") as file:
        file.write(f"{os.getpid()}\\n")
def connect(address):
    for _ in range(1000):
        try:
            return socket.create_connection(address)
        except ConnectionRefusedError:
            time.sleep(0.02)
    sys.exit("the chief never came up")
first = not os.path.exists(f"{bucket}/{kind}-{index}")
print(f"{kind} {index} begins", flush=True)
note(f"{kind}-{index}")
"""
# A chief that adds up what each of its workers sends, once, and tells them.
CHIEF = """
server = socket.create_server(address(kind, index))
workers, numbers = {}, {}
while len(numbers) < len(spec["cluster"]["workerpool1"]):
    stream = server.accept()[0].makefile("rw")
    words = stream.readline().split()
    if words:
        workers[words[0]], numbers[words[0]] = stream, int(words[1])
for stream in workers.values():
    print(sum(numbers.values()), file=stream, flush=True)
print("sum", sum(numbers.values()), flush=True)
"""
WORKER = """
stream = connect(address("workerpool0", 0)).makefile("rw")
print(index, index + 10, file=stream, flush=True)
print("told", stream.readline().strip(), flush=True)
"""
WAIT = "time.sleep(300)"
# A chief that ends when its two workers have begun again: its end shuts them down.
LAST = """
while sum(len(open(f"{bucket}/workerpool1-{n}").readlines()) for n in range(2) if not first) < 4:
    time.sleep(0.02)
"""
KILLED_ONCE = """
if first:
    stream = connect(address("workerpool0", 0))
    os.kill(os.getpid(), signal.SIGKILL)
"""
# A chief that cannot go on without the peer that it has heard of.
INELASTIC = """
server = socket.create_server(address(kind, index))
if not server.accept()[0].recv(1) and first:
    time.sleep(0.5)
    sys.exit("ConnectionError: a peer has gone")
"""
# Counts to ten in its checkpoint, and leaves it when it is told to.
CHECKPOINTING = """
def leave(*_):
    print("leaving", flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, leave)
path = f"{bucket}/step"
step = int(open(path).read()) if os.path.exists(path) else 0
print("from", step, flush=True)
while step < 10:
    step += 1
    with open(path + ".new", "w") as file:
        file.write(str(step))
    os.replace(path + ".new", path)
    print("step", step, flush=True)
    time.sleep(0.02)
    while step == PAUSE:
        time.sleep(0.05)
"""


@pytest.fixture
def job(tmp_path) -> Callable[..., dict]:
    """Makes a spec: a program for each pool, and how many replicas of it after the first pool."""

    def make(*programs: str | tuple[str, int] | None, **fields) -> dict:
        return {"workerPoolSpecs": [pool(program) for program in programs], **fields}

    def pool(program: str | tuple[str, int] | None) -> dict:
        if program is None:
            return {}
        text, count = (program, 1) if isinstance(program, str) else program
        variables = [{"name": "BUCKET", "value": str(tmp_path / "state" / "storage" / "bucket")}]
        container = {"imageUri": "python:3.11-slim", "command": ["python3", "-c", _HEAD + text]}
        return {
            "replicaCount": str(count),
            "machineSpec": {"machineType": "n1-standard-4"},
            "containerSpec": {**container, "env": variables},
        }

    return make


def begun(room, replica: str) -> int:
    """How often a replica has begun."""
    return len(re.findall("begins", room.log(replica)))


def begins(room) -> Mapping[str, int]:
    return {name: begun(room, name) for name in room.logs()}


def until(condition: Callable[[], bool], room) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, (room.run, room.logs())
        time.sleep(0.02)


def run(room, spec: dict) -> dict:
    room.start(spec)
    return room.wait_for("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED")


def nothing_is_left(room) -> bool:
    return room.executor._servers.is_idle


def test_chief_and_workers_talk_and_the_others_are_shut_down(open_room: Callable, job: Callable) -> None:
    room = open_room(slots=1)  # they all run at once, however many slots there are
    found = run(room, job(CHIEF, (WORKER, 2), WAIT, WAIT))
    assert found["state"] == "JOB_STATE_SUCCEEDED", (found, room.logs())
    assert room.log() == "workerpool0 0 begins\nsum 21\n"
    for index in range(2):
        assert room.log(f"workerpool1-{index}") == f"workerpool1 {index} begins\ntold 21\n"
    assert room.log("workerpool2-0") == "workerpool2 0 begins\n"
    assert list(room.logs()) == [f"workerpool{each}" for each in ("0-0", "1-0", "1-1", "2-0", "3-0")]
    assert room.states == [f"JOB_STATE_{state}" for state in ("QUEUED", "PENDING", "RUNNING", "SUCCEEDED")]
    assert nothing_is_left(room)


def test_jobs_at_once_do_not_wait_for_each_other(open_room: Callable, job: Callable) -> None:
    room = open_room(slots=2)
    names = [f"{NAME}{number}" for number in range(3)]
    spec = job(CHIEF, (WORKER, 3))
    for name in names:
        room.jobs.start(name, spec, project_number="1", labels={})
    for name in names:
        until(lambda name=name: "SUCC" in json.loads(room.store.read(f"{name}/run").payload)["state"], room)


def test_killed_worker_is_restarted_alone_at_its_address(room, job: Callable) -> None:
    found = run(room, job(CHIEF, (KILLED_ONCE + WORKER, 2)))
    assert found["state"] == "JOB_STATE_SUCCEEDED", (found, room.logs())
    assert begins(room) == {"workerpool0-0": 1, "workerpool1-0": 2, "workerpool1-1": 2}
    assert "workerpool1-0 ended with -9; restart 1" in room.log("workerpool1-0")


def test_killed_worker_restarts_all(room, job: Callable) -> None:
    """What frameworks need whose replicas cannot come back: the others are ended too."""
    found = run(room, job(CHIEF, (KILLED_ONCE + WORKER, 1), **ALL_AGAIN))
    assert found["state"] == "JOB_STATE_SUCCEEDED", (found, room.logs())
    assert begins(room) == {"workerpool0-0": 2, "workerpool1-0": 2}
    assert "workerpool1-0 ended with -9; all replicas start again" in room.log()


def test_the_replica_that_is_the_reason_is_named(room, job: Callable) -> None:
    found = run(room, job(INELASTIC, KILLED_ONCE + WAIT))
    assert found["state"] == "JOB_STATE_FAILED" and found["error"]["code"] == 3
    message = found["error"]["message"]
    assert message.startswith("The replica workerpool0-0 exited with a non-zero status of 1.")
    assert "workerpool1-0 had been lost and restarted alone" in message
    assert "ConnectionError: a peer has gone" in message


def test_worker_that_fails_ends_the_job(room, job: Callable) -> None:
    found = run(room, job(WAIT, ("sys.exit(3) if index else time.sleep(300)", 2)))
    assert found["state"] == "JOB_STATE_FAILED"
    assert found["error"]["message"].startswith(
        "The replica workerpool1-1 exited with a non-zero status of 3."
    )
    assert found["error"]["message"].endswith("/workerpool1-1.log")
    assert nothing_is_left(room)


def test_worker_that_has_done_its_part_ends_nothing(room, job: Callable) -> None:
    chief = "\nwhile not os.path.exists(f'{bucket}/go'): time.sleep(0.02)"
    room.start(job(chief, "print('done')"))
    until(lambda: "done" in room.log("workerpool1-0"), room)
    assert room.wait_for("JOB_STATE_RUNNING")["endTime"] is None
    (room.state / "storage" / "bucket" / "go").touch()
    room.wait_for("JOB_STATE_SUCCEEDED")
    assert begun(room, "workerpool1-0") == 1


def test_worker_that_is_always_lost_ends_the_job(room, job: Callable) -> None:
    """Five restarts, four times: the job and three more tries."""
    found = run(room, job(WAIT, "os.kill(os.getpid(), signal.SIGKILL)"))
    assert found["error"]["message"].startswith(
        "The replica workerpool1-0 exited with a non-zero status of 137"
    )
    assert begins(room) == {"workerpool0-0": 4, "workerpool1-0": 24}
    assert found["retries"] == 3


def test_chief_that_never_comes_up(room, job: Callable) -> None:
    package = {
        "executorImageUri": "python:3.11-slim",
        "packageUris": ["gs://bucket/none-1.0-py3-none-any.whl"],
        "pythonModule": "none",
    }
    chief, worker = job(WAIT, WORKER)["workerPoolSpecs"]
    del chief["containerSpec"]
    found = run(room, {"workerPoolSpecs": [{**chief, "pythonPackageSpec": package}, worker]})
    assert found["error"]["message"].startswith("The replica workerpool0-0 could not be started:")
    assert "none-1.0-py3-none-any.whl" in found["error"]["message"] and room.logs() == {}


def test_cancel_and_timeout_reach_every_replica(room, job: Callable) -> None:
    told = "signal.signal(signal.SIGTERM, lambda *_: (note('told'), sys.exit(0)))\nnote('ready')\n" + WAIT
    room.start(job(told, (told, 2)))
    marks = room.state / "storage" / "bucket"
    until(lambda: (marks / "ready").exists() and len((marks / "ready").read_text().split()) == 3, room)
    room.jobs.cancel(NAME)
    room.wait_for("JOB_STATE_CANCELLED")
    assert sorted((marks / "told").read_text().split()) == sorted((marks / "ready").read_text().split())
    room.store.delete(f"{NAME}/run")
    found = run(room, job(told, (told, 2), scheduling={"timeout": "1s"}))
    assert found["error"]["code"] == 4 and "timeout of 1 s" in found["error"]["message"]
    assert nothing_is_left(room)


def test_preempted_job_goes_on_from_its_checkpoint(room, job: Callable) -> None:
    worker = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n" + WAIT
    room.start(job(CHECKPOINTING.replace("PAUSE", "4 and first"), worker, **SPOT))
    until(lambda: "step 4" in room.log(), room)
    room.jobs.preempt(NAME, "workerpool0-0")
    assert room.wait_for("JOB_STATE_SUCCEEDED")["preemptions"] == 1
    steps = re.findall(r"^(?:from|step|leaving).*", room.log(), re.MULTILINE)
    assert steps == ["from 0", *(f"step {n}" for n in range(1, 5)), "leaving", "from 4",
                     *(f"step {n}" for n in range(5, 11))]  # fmt: skip
    assert begins(room) == {"workerpool0-0": 2, "workerpool1-0": 2}
    assert "preemption 1: SIGTERM now" in room.log() and "SIGTERM" not in room.log("workerpool1-0")


def test_preempted_too_often(open_room: Callable, job: Callable) -> None:
    room = open_room(preempt_every=0.1)
    found = run(room, job(WAIT, WAIT, **SPOT))
    assert found["state"] == "JOB_STATE_FAILED" and found["preemptions"] == 7
    assert found["error"]["code"] == 8
    assert found["error"]["message"].startswith("STOCKOUT: the job's spot machines were preempted 7 times.")
    for replica in ("workerpool0-0", "workerpool1-0"):
        assert room.log(replica).count("SIGTERM now, SIGKILL in 30 s") == 7


def test_what_cannot_be_preempted(open_room: Callable, job: Callable) -> None:
    room = open_room(preempt_every=0.05)
    with pytest.raises(ValueError, match="it is not running"):
        room.jobs.preempt(NAME)
    room.start(job("time.sleep(1)", WAIT))
    until(lambda: begun(room, "workerpool1-0") == 1, room)
    with pytest.raises(ValueError, match="strategy is not SPOT"):
        room.jobs.preempt(NAME)
    with pytest.raises(LookupError) as caught:
        room.jobs.preempt(NAME, "workerpool1-1")
    assert caught.value.args[0] == ["workerpool0-0", "workerpool1-0"]
    assert room.wait_for("JOB_STATE_SUCCEEDED")["preemptions"] == 0


def test_all_go_on_after_the_serving_process_ended(open_room: Callable, job: Callable) -> None:
    first = open_room()
    spec = job(LAST, (WAIT, 2))
    first.start(spec)
    until(lambda: sum(begins(first).values()) == 3, first)
    first.close()
    second = open_room()
    second.start(spec)
    second.wait_for("JOB_STATE_SUCCEEDED")
    assert set(begins(second).values()) == {2}
