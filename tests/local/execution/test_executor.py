"""Real processes: compiled components, launchers and commands, their ends and their logs."""

import importlib.util
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from importlib.metadata import files
from pathlib import Path

import pytest
from kfp import dsl

from trainwright.local.execution import EnvironmentFailed, Executor, StartCancelled, UnknownImage

IMAGE = "python:3.11-slim"


@dsl.component(base_image=IMAGE)
def add(a: int, b: int) -> int:
    print("adding")  # noqa: T201
    return a + b


@dsl.component(base_image=IMAGE)
def fail(message: str) -> int:
    raise ValueError(message)


@dsl.component(base_image=IMAGE)
def leave(code: int) -> int:
    import sys

    sys.exit(code)


@dsl.component(base_image=IMAGE, packages_to_install=["pandas"])
def look(uri: str) -> str:
    import multiprocessing
    import os
    import random
    import sys
    from pathlib import Path

    import numpy
    import pandas
    from kfp import dsl

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        spawned = pool.apply(os.path.basename, ("a/b",))
    return pandas.Series(
        {
            "path": dsl.Artifact(uri=uri).path,
            "text": Path(dsl.Artifact(uri=uri).path).read_text(),
            "mounted": Path(uri.replace("gs://", "/gcs/")).exists(),
            "directory": str(Path.cwd()),
            "executable": sys.executable,
            "threads": os.environ["OMP_NUM_THREADS"],
            "runtime": os.environ["_KFP_RUNTIME"],
            "author": os.environ.get("AUTHOR"),
            "random": [random.random(), numpy.random.random()],
            "spawned": spawned,
            "main": sys.modules["__main__"].__name__,
        }
    ).to_json()


def output(path: Path):
    return json.loads(path.read_text())["parameterValues"]["Output"]


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has), within five seconds."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):  # the latter when it ends while it is read
            return True
        time.sleep(0.05)
    return False


def appears(path: Path) -> str:
    for _ in range(400):
        if path.exists() and (text := path.read_text().strip()):
            return text
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def test_component(executor: Executor, component_work) -> None:
    for number in range(3):  # the first starts the fork server
        work, result = component_work(add, inputs={"a": number, "b": 2})
        outcome = executor.start(work).wait(60)
        assert outcome.exit_code == 0
        assert output(result) == number + 2
        assert "adding" in outcome.tail
        assert stat.S_IMODE(work.log_path.stat().st_mode) == 0o600


def test_component_that_fails(executor: Executor, component_work) -> None:
    work, _ = component_work(fail, inputs={"message": "first"})
    work.log_path.parent.mkdir(parents=True)
    work.log_path.write_text("of an earlier attempt\n")
    outcome = executor.start(work).wait(60)
    assert outcome.exit_code == 1
    assert outcome.tail[-1] == "ValueError: first"
    assert "of an earlier attempt" not in outcome.tail
    assert not any("fork_server" in line for line in outcome.tail)
    assert work.log_path.read_text().startswith("of an earlier attempt\n")
    work, _ = component_work(leave, inputs={"code": 42})
    assert executor.start(work).wait(60).exit_code == 42


def test_what_a_component_sees(executor: Executor, component_work, state: Path, monkeypatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "the-users-own")
    (state / "storage" / "bucket").mkdir(parents=True)
    (state / "storage" / "bucket" / "object").write_text("hello")
    seen = []
    for environment in ({}, {}, {"AUTHOR": "me", "OMP_NUM_THREADS": "3"}):
        work, result = component_work(look, inputs={"uri": "gs://bucket/object"}, environment=environment)
        outcome = executor.start(work).wait(120)
        assert outcome.exit_code == 0, outcome.tail
        seen.append(json.loads(output(result)))
        assert seen[-1]["directory"] == str(work.scratch)
        assert seen[-1]["executable"].startswith(str(work.scratch.parent / "overlays"))
    first, second, third = seen
    assert first["path"] == str(state / "storage" / "bucket" / "object") and first["text"] == "hello"
    assert (first["threads"], first["runtime"], first["author"]) == ("1", "true", None)
    assert (third["threads"], third["author"]) == ("3", "me")
    assert first["spawned"] == "b" and first["main"] == "kfp.dsl.executor_main"
    assert not set(first["random"]) & set(
        second["random"]
    )  # forked from one process, yet not the same numbers


def test_launchers_start_and_say_what_they_take(executor: Executor, command_work) -> None:
    package = "google_cloud_pipeline_components"
    launchers = [
        ".".join(Path(file).with_suffix("").parts)
        for file in files("google-cloud-pipeline-components") or []
        if file.name == "launcher.py" and "container/v1" in str(file)
    ]
    if (
        importlib.util.find_spec("googleapiclient") is None
    ):  # google-cloud-pipeline-components does not require it
        launchers.remove(f"{package}.container.v1.wait_gcp_resources.launcher")
    assert len(launchers) > 30
    for launcher in sorted(launchers):
        assert launcher.startswith(package)
        work = command_work("python3", "-u", "-m", launcher, "--help", image="gcr.io/ml-pipeline/gcpc:2")
        outcome = executor.start(work).wait(120)
        assert outcome.exit_code == 0, (launcher, outcome.tail)
        assert any(line.startswith("usage:") for line in work.log_path.read_text().splitlines())


@pytest.mark.parametrize(
    ("command", "code", "last"),
    [
        (("sh", "-c", "echo out; echo err >&2; exit 7"), 7, "err"),
        (("no-such-program", "x"), 127, "no-such-program: not found"),
        (("sh", "-c", "kill -9 $$"), -9, None),
        (("sh", "-c", "cat; echo end"), 0, "end"),  # standard input is empty
        ((), 0, None),
    ],
)
def test_ends_of_commands(executor: Executor, command_work, command, code: int, last: str | None) -> None:
    outcome = executor.start(command_work(*command)).wait(60)
    assert outcome.exit_code == code
    assert (outcome.tail[-1:] or (None,))[0] == last


def test_unknown_image(executor: Executor, command_work, state: Path) -> None:
    with pytest.raises(UnknownImage, match=r"'registry.example.com/team/trainer:7'.*images = "):
        executor.start(command_work("train", image="registry.example.com/team/trainer:7"))
    mapped = Executor(
        state=state / "mapped",
        client_environment={"CLIENT": "x"},
        gcs_root=state / "mapped" / "storage",
        images={"registry.example.com/team/trainer": "host"},
    )
    try:
        work = command_work("sh", "-c", 'echo "$CLIENT"', image="registry.example.com/team/trainer:7")
        assert mapped.start(work).wait(60).tail == ("x",)
    finally:
        mapped.close()


def test_package_that_does_not_exist(executor: Executor, command_work, monkeypatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    line = 'pip install no-such-thing-here==1 --index-url=http://127.0.0.1:9/simple && "$0" "$@"'
    with pytest.raises(EnvironmentFailed, match="no-such-thing-here==1"):
        executor.start(command_work("sh", "-ec", line, "python3", "-c", "pass", image=IMAGE))


def test_packages_from_the_index(executor: Executor, component_work, state: Path) -> None:
    @dsl.component(base_image=IMAGE, packages_to_install=["cowsay==6.1"])
    def moo() -> str:
        import cowsay

        return cowsay.__file__

    for _ in range(2):
        work, result = component_work(moo)
        try:
            outcome = executor.start(work).wait(120)
        except EnvironmentFailed as error:
            pytest.skip(f"the package index cannot be reached: {error}")
        assert outcome.exit_code == 0, outcome.tail
        assert str(state / "environments") in output(result)
    assert len([path for path in (state / "environments").iterdir() if path.is_dir()]) == 1


def test_pip_at_run_time_stays_with_its_task(executor: Executor, command_work, tmp_path: Path, wheel) -> None:
    package = wheel(tmp_path, "guest", 1)
    before = sorted(path.name for path in Path(sys.prefix, "lib").rglob("*.dist-info"))
    uninstall = "; pip uninstall -qy kfp"
    for install in ("pip install", "python3 -m pip install --user"):
        program = (
            f"{install} --quiet --no-index {package}; python3 -c 'import guest, kfp; print(guest.__file__)'"
        )
        work = command_work("sh", "-ec", program + uninstall)
        outcome = executor.start(work).wait(120)
        files_seen = [line for line in outcome.tail if line.endswith("guest.py")]
        assert files_seen and files_seen[0].startswith(str(work.scratch.parent / "overlays")), outcome.tail
        uninstall = ""
    assert sorted(path.name for path in Path(sys.prefix, "lib").rglob("*.dist-info")) == before


def test_component_that_calls_pip(executor: Executor, component_work, tmp_path: Path, wheel) -> None:
    @dsl.component(base_image=IMAGE)
    def install(package: str) -> int:
        import importlib
        import subprocess
        import sys

        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-index", package], check=True)
        importlib.invalidate_caches()
        import guest

        return guest.answer

    work, result = component_work(install, inputs={"package": str(wheel(tmp_path, "guest", 5))})
    outcome = executor.start(work).wait(120)
    assert outcome.exit_code == 0, outcome.tail
    assert output(result) == 5
    work, _ = component_work(install, inputs={"package": str(tmp_path / "other-1.0-py3-none-any.whl")})
    assert executor.start(work).wait(120).exit_code == 1  # pip's failure, and no guest left from before


def test_gcs_folder(executor: Executor, command_work, state: Path) -> None:
    (state / "storage" / "bucket").mkdir()
    outcome = executor.start(command_work("sh", "-ec", "echo hi > /gcs/bucket/object; ls /gcs")).wait(60)
    if any("/gcs is not there" in line for line in outcome.tail):
        assert outcome.exit_code != 0
        pytest.skip("this kernel allows no user namespaces")
    assert outcome.tail == ("bucket",)
    assert (state / "storage" / "bucket" / "object").read_text() == "hi\n"
    assert not Path("/gcs").exists()


def test_terminate_reaches_grandchildren_and_lets_them_finish(executor: Executor, command_work) -> None:
    program = (
        "trap '' TERM; sleep 300 & echo $! > stubborn; "
        "(trap 'sleep 0.3; echo saved > checkpoint; exit' TERM; echo ready > ready;"
        " while :; do sleep 0.05; done) & wait"
    )
    work = command_work("sh", "-c", f"({program}) & wait")
    running = executor.start(work)
    appears(work.scratch / "ready")
    stubborn = int(appears(work.scratch / "stubborn"))
    running.terminate(grace=1.5)
    assert running.wait(0.05) is None  # the grace is theirs
    assert running.wait(30).exit_code == -signal.SIGTERM
    assert (work.scratch / "checkpoint").read_text() == "saved\n"
    assert gone(stubborn)


def test_what_a_command_leaves_behind_ends_with_it(executor: Executor, command_work) -> None:
    far = "setsid sh -c 'sleep 300 & echo $! > far; wait' &"  # in a session of its own
    until_far = "while [ ! -s far ]; do sleep 0.05; done"
    work = command_work("sh", "-c", f"sleep 300 & echo $! > near; {far} {until_far}")
    assert executor.start(work).wait(60).exit_code == 0
    assert all(gone(int((work.scratch / name).read_text())) for name in ("near", "far"))


def test_terminate_reaches_what_has_left_its_group(executor: Executor, command_work) -> None:
    # `far` is an orphan in a session of its own, `near` has a living parent.
    far = "trap 'echo told > told; exit' TERM; echo $$ > far; while :; do sleep 0.05; done"
    near = "setsid sh -c 'echo $$ > near; exec sleep 300'"
    work = command_work("sh", "-c", f'(setsid sh -c "$0" &) ; {near} & wait; sleep 300', far)
    running = executor.start(work)
    pids = [int(appears(work.scratch / name)) for name in ("far", "near")]
    running.terminate(grace=20)
    assert running.wait(60).exit_code == -signal.SIGTERM
    assert (work.scratch / "told").exists()
    assert all(gone(pid) for pid in pids)


def test_component_is_terminated(executor: Executor, component_work) -> None:
    @dsl.component(base_image=IMAGE)
    def hang() -> int:
        import subprocess
        from pathlib import Path

        child = subprocess.Popen(["sleep", "300"])
        Path("pid").write_text(str(child.pid))
        return child.wait()

    work, _ = component_work(hang)
    running = executor.start(work)
    child = int(appears(work.scratch / "pid"))
    running.terminate()
    assert running.wait(60).exit_code == -signal.SIGTERM
    assert gone(child)


SERVING = """
import sys, time
from pathlib import Path
from trainwright.local.execution import Executor, Work
state = Path(sys.argv[1])
executor = Executor(state=state, client_environment={}, gcs_root=state / "storage")
command = "setsid sleep 300 & echo $! > orphan; sleep 300 & echo $! > child; echo $$ > leader; wait"
work = Work("w", "alpine", ("sh", "-c", command), (), {}, state / "log", state / "scratch")
executor.start(work)
time.sleep(300)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_serving_one(state: Path, number: signal.Signals) -> None:
    root = Path(__file__).parents[3]
    serving = subprocess.Popen(
        [sys.executable, "-c", SERVING, str(state)], env={**os.environ, "PYTHONPATH": str(root)}
    )
    pids = [int(appears(state / "scratch" / name)) for name in ("leader", "child", "orphan")]
    serving.send_signal(number)
    serving.wait(10)
    assert all(gone(pid) for pid in pids)


def test_killed_fork_server_is_replaced(executor: Executor, command_work) -> None:
    running = executor.start(command_work("sleep", "300"))
    os.kill(_parent(_pid(running)), signal.SIGKILL)
    assert running.wait(30).exit_code == -signal.SIGKILL
    assert gone(running.pid)
    assert executor.start(command_work("echo", "again")).wait(60).tail == ("again",)


def _pid(running) -> int:
    for _ in range(200):
        if running.pid:
            return running.pid
        time.sleep(0.02)
    raise AssertionError("never started")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_slots(state: Path, command_work) -> None:
    executor = Executor(state=state, client_environment={}, gcs_root=state / "storage", slots=1)
    try:
        first = executor.start(command_work("sleep", "300"))
        cancelled = threading.Event()
        threading.Timer(0.3, cancelled.set).start()
        with pytest.raises(StartCancelled):
            executor.start(command_work("echo"), cancelled)
        launcher = "google_cloud_pipeline_components.container.v1.model.get_model.launcher"
        assert executor.start(command_work("python3", "-m", launcher, "--help")).wait(60).exit_code == 0
        first.terminate()
        assert executor.start(command_work("echo", "free")).wait(60).tail == ("free",)
    finally:
        executor.close()


def test_a_group_runs_at_once_and_leaves_a_slot(state: Path, command_work) -> None:
    executor = Executor(state=state, client_environment={}, gcs_root=state / "storage", slots=3)
    never = threading.Event()
    try:
        works = [command_work("sleep", "300") for _ in range(5)]
        takers = sum(executor.make_ready(work, never) for work in works)
        with executor.slots(takers, never):
            group = [executor.start(work, has_slot=True) for work in works]
            assert executor.start(command_work("echo", "beside")).wait(60).tail == ("beside",)
            with executor.slots(2, never):  # another group does not wait for this one...
                cancelled = threading.Event()
                threading.Timer(0.3, cancelled.set).start()
                with pytest.raises(StartCancelled):  # ...but a third waits for either
                    executor.start(command_work("echo"), cancelled)
            assert [running.wait(0) for running in group] == [None] * 5
        later = [executor.start(command_work("echo", "free")) for _ in range(3)]
        assert [running.wait(60).exit_code for running in later] == [0, 0, 0]
    finally:
        executor.close()


def test_close_ends_running_and_waiting(state: Path, command_work) -> None:
    executor = Executor(state=state, client_environment={}, gcs_root=state / "storage", slots=1)
    running = executor.start(command_work("sleep", "300"))
    raised: list[type] = []

    def wait_for_slot() -> None:
        try:
            executor.start(command_work("echo"))
        except StartCancelled as error:
            raised.append(type(error))

    waiting = threading.Thread(target=wait_for_slot)
    waiting.start()
    executor.close()
    waiting.join(10)
    assert raised == [StartCancelled]
    assert running.wait(10).exit_code == -signal.SIGKILL
    assert gone(running.pid)


def test_prepare_makes_what_start_then_finds(executor: Executor, component_work) -> None:
    works: list = [component_work(add, inputs={"a": 1, "b": n})[0] for n in range(2)]
    executor.prepare(works)
    assert [executor.start(work).wait(60).exit_code for work in works] == [0, 0]


def test_concurrent_starts(executor: Executor, component_work) -> None:
    made = [component_work(add, inputs={"a": n, "b": 1}) for n in range(20)]
    codes: list[int] = []
    run: Callable[[int], None] = lambda n: codes.append(executor.start(made[n][0]).wait(60).exit_code)  # noqa: E731
    threads = [threading.Thread(target=run, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 20
    assert [output(result) for _, result in made] == [n + 1 for n in range(20)]


def test_module_that_starts_a_thread_is_not_imported_before_the_fork(
    component_work, state: Path, tmp_path: Path, wheel, monkeypatch
) -> None:
    @dsl.component(base_image=IMAGE, packages_to_install=["threaded", "calm"])
    def use() -> str:
        import sys

        before = [name for name in ("threaded", "calm") if name in sys.modules]
        import threaded

        return f"{before} {threaded.__name__}"

    starts_thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(1,)).start()\n"
    for name, text in (("threaded", starts_thread), ("calm", "")):
        with zipfile.ZipFile(wheel(tmp_path, name, 1)) as archive:
            archive.extractall(tmp_path / "site")
        (tmp_path / "site" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "site")  # so that the running environment has both
    executor = Executor(
        state=state, client_environment={"PYTHONPATH": str(tmp_path / "site")}, gcs_root=state / "storage"
    )
    try:
        for _ in range(2):
            work, result = component_work(use)
            outcome = executor.start(work).wait(60)
            assert outcome.exit_code == 0, outcome.tail
            assert output(result) == "['calm'] threaded"
    finally:
        executor.close()
