"""`runtime="docker"`: works in real containers of a real Docker engine, started for these tests alone."""

import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trainwright.local.execution import Executor
from trainwright.local.execution.containers import NoContainerEngine
from trainwright.local.options import Options
from trainwright.local.server import LocalVertex

IMAGE = "registry.example.com/team/tiny:1"
_STARTS_ONE = """
import sys
from pathlib import Path
from trainwright.local.execution import Executor, Work
state, image = Path(sys.argv[1]), sys.argv[2]
executor = Executor(state=state, client_environment={}, gcs_root=state / "storage", runtime="docker")
executor.start(Work("one", image, ("/bin/sleep", "600"), (), {}, state / "log", state / "work")).wait()
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Docker engine that has the image: a static busybox with an entry point."""
    missing = [name for name in ("docker", "dockerd", "busybox") if shutil.which(name) is None]
    if missing or os.getuid():
        pytest.skip(f"no Docker engine can be started: {'missing ' + missing[0] if missing else 'not root'}")
    folder = tmp_path_factory.mktemp("docker")
    address = f"unix://{folder}/socket"
    places = [f"--{name}={folder / name}" for name in ("data-root", "exec-root", "pidfile")]
    plain = ["--iptables=false", "--bridge=none", "--storage-driver=vfs"]
    with (folder / "log").open("w") as log:
        daemon = subprocess.Popen(["dockerd", f"--host={address}", *places, *plain], stdout=log, stderr=log)
    try:
        until(lambda: docker(address, "version").returncode == 0 or daemon.poll() is not None)
        if daemon.poll() is not None:
            pytest.skip(f"dockerd does not run here: {(folder / 'log').read_text().splitlines()[-1]}")
        with tarfile.open(folder / "image.tar", "w") as image:
            image.add(os.path.realpath(shutil.which("busybox") or ""), "bin/busybox")
            for name in ("sh", "cat", "echo", "sleep"):
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                image.addfile(link)
        entry = ["--change", 'ENTRYPOINT ["/bin/echo", "entry point:"]']
        imported = docker(address, "import", *entry, str(folder / "image.tar"), IMAGE)
        assert imported.returncode == 0, imported.stderr
        yield address
    finally:
        daemon.terminate()
        daemon.wait(30)
        mount = folder / "exec-root" / "netns" / "default"
        subprocess.run(["umount", "--lazy", str(mount)], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def contained(engine: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Executor]]:
    monkeypatch.setenv("DOCKER_HOST", engine)
    made: list[Executor] = []

    def make(**settings: object) -> Executor:
        variables = {"SECRET": "of local Vertex"}
        made.append(
            Executor(
                state=state,
                client_environment=variables,
                gcs_root=state / "storage",
                runtime="docker",
                **settings,
            )
        )
        return made[-1]

    yield make
    for executor in made:
        executor.close()
    assert docker(engine, "ps", "--all", "--quiet").stdout == ""


def docker(address: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["docker", *words], env={**os.environ, "DOCKER_HOST": address}, capture_output=True, text=True
    )


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_work_runs_in_its_image_and_shares_the_storage(
    contained: Callable, state: Path, command_work: Callable
) -> None:
    executor = contained()
    (state / "storage" / "bucket").mkdir()
    (state / "storage" / "bucket" / "in").write_text("from outside")
    (state / "store").write_text("not for tasks")
    script = 'cat /gcs/bucket/in; echo "$SECRET, $OWN"; echo made > "$0"/storage/bucket/out; cat "$0"/store'
    work = command_work("/bin/sh", "-c", script, str(state), image=IMAGE, environment={"OWN": "own"})
    executor.check(work.image, work.command)  # any image will do
    outcome = executor.start(work).wait(60)
    assert outcome is not None and outcome.exit_code == 1
    assert "from outsideof local Vertex, own" in outcome.tail
    assert (state / "storage" / "bucket" / "out").read_text() == "made\n"
    assert any("No such file" in line for line in outcome.tail)  # of this machine nothing else is seen


def test_without_a_command_the_images_own_runs(contained: Callable, command_work: Callable) -> None:
    executor = contained()
    outcome = executor.start(command_work(image=IMAGE)).wait(60)
    assert outcome is not None and (outcome.exit_code, outcome.tail) == (0, ("entry point:",))
    missing = executor.start(command_work("/bin/train", image=IMAGE)).wait(60)
    assert missing is not None and missing.exit_code == 127
    assert "/bin/train" in missing.said


def test_variables_do_not_stand_in_the_words_of_the_client(
    engine: str, contained: Callable, command_work: Callable
) -> None:
    running = contained().start(command_work("/bin/sleep", "60", image=IMAGE))
    until(lambda: running.pid != 0 and docker(engine, "ps", "--quiet").stdout != "")
    words = Path(f"/proc/{running.pid}/cmdline").read_bytes()
    assert b"SECRET" in words and b"of local Vertex" not in words
    running.terminate(0.5)  # a first process heeds no SIGTERM unless it has a handler
    assert running.wait(30) is not None
    until(lambda: docker(engine, "ps", "--all", "--quiet").stdout == "")


def test_what_a_killed_local_vertex_left_is_removed_by_the_next(
    engine: str, contained: Callable, state: Path
) -> None:
    first = subprocess.Popen([sys.executable, "-c", _STARTS_ONE, str(state), IMAGE])
    until(lambda: docker(engine, "ps", "--quiet").stdout != "")
    first.kill()
    first.wait()
    contained()
    assert docker(engine, "ps", "--all", "--quiet").stdout == ""


def test_an_image_with_a_counterpart_of_the_users_own_runs_as_a_process(
    contained: Callable, command_work: Callable
) -> None:
    executor = contained(images={"alpine": "host"})
    outcome = executor.start(command_work("sh", "-c", "echo $0 $HOSTNAME; ls /etc/hostname")).wait(30)
    assert outcome is not None and outcome.exit_code == 0, outcome


@pytest.mark.parametrize(
    ("path", "host", "said"),
    [
        ("", "", "runtime 'docker': there is no program of this name on the PATH"),
        (None, "unix:///nowhere/socket", "runtime 'docker': no engine answers: "),
    ],
)
def test_an_engine_that_is_not_there_is_said_at_once(
    path: str | None, host: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path is not None:
        monkeypatch.setenv("PATH", path)
    elif shutil.which("docker") is None:
        pytest.skip("there is no docker client")
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(NoContainerEngine, match="runtime 'docker'") as refused:
        LocalVertex(tmp_path / "state", options=Options(runtime="docker")).start()
    assert str(refused.value).startswith(said)
