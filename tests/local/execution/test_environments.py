"""Which environment satisfies what; environments made by uv from packages that are built here."""

import fcntl
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from trainwright.local.execution.commands import Installation
from trainwright.local.execution.environments import EnvironmentFailed, Environments, distributions

Wheel = Callable[[Path, str, int], Path]


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(tmp_path / "environments", tmp_path / "storage", _lock(tmp_path))


def _lock(folder: Path) -> int:
    return os.open(folder / "processes.lock", os.O_RDWR | os.O_CREAT)


def installing(*requirements: str, **options) -> list[Installation]:
    return [Installation(requirements, **options)]


KFP = version("kfp")
MAJOR = KFP.split(".")[0]


@pytest.mark.parametrize(
    ("installations", "satisfied"),
    [
        ([], True),
        (installing(f"packaging=={version('packaging')}"), True),
        (installing("Packaging>=1", "no-such-thing; python_version<'3'"), True),
        (installing("packaging==0.1"), False),
        (installing("no-such-thing"), False),
        (installing("packaging @ https://example.com/packaging.whl"), False),
        (installing("./a.whl"), False),
        (installing("kfp[no-such-extra]"), True),
        (
            installing(
                f"kfp=={MAJOR}.0.1", "typing-extensions>=3.7.4; python_version<'3.9'", dependencies=False
            ),
            True,
        ),
        (installing(f"kfp=={KFP}", dependencies=False), True),
        (installing(f"kfp=={MAJOR}.999.0", dependencies=False), False),
        (installing("kfp==1.8.22", dependencies=False), False),
        (installing(f"kfp=={MAJOR}.0.1"), False),  # asked for by the author, not written by the compiler
    ],
)
def test_what_the_running_environment_satisfies(
    environments: Environments, installations, satisfied: bool
) -> None:
    assert (environments.find(installations) == Path(sys.executable)) is satisfied


def test_distributions() -> None:
    assert distributions(installing("kfp==2", "Scikit_Learn[x]>1", "./a.whl", "pandas")) == (
        "pandas",
        "scikit-learn",
    )


def test_made_environment_has_its_packages_and_kfp_and_nothing_else(
    environments: Environments, tmp_path: Path, wheel: Wheel
) -> None:
    (tmp_path / "storage" / "bucket").mkdir(parents=True)
    wheel(tmp_path / "storage" / "bucket", "answering", 42)
    wanted = installing("/gcs/bucket/answering-1.0-py3-none-any.whl")
    assert environments.find(wanted) is None
    python = environments.make(wanted)
    assert environments.find(wanted) == python
    program = (
        "import os; os.environ['_KFP_RUNTIME'] = 'true'\n"
        "import answering, importlib.util, importlib.metadata, kfp.dsl.executor_main\n"
        "print(answering.answer, importlib.metadata.version('kfp'), importlib.util.find_spec('google'))"
    )
    said = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert said == ["42", KFP, "None"]


def test_package_file_that_changes_makes_another_environment(
    environments: Environments, tmp_path: Path, wheel: Wheel
) -> None:
    wanted = installing(str(wheel(tmp_path, "answering", 1)))
    first = environments.make(wanted)
    wheel(tmp_path, "answering", 2)
    second = environments.make(wanted)
    answers = [
        subprocess.run(
            [p, "-c", "import answering; print(answering.answer)"], check=True, capture_output=True
        ).stdout
        for p in (first, second)
    ]
    assert answers == [b"1\n", b"2\n"]


def test_two_at_once_build_once(tmp_path: Path, wheel: Wheel) -> None:
    wanted = installing(str(wheel(tmp_path, "answering", 1)))
    rooms = [Environments(tmp_path / "environments", tmp_path, _lock(tmp_path)) for _ in range(3)]
    found: list[Path] = []
    threads = [threading.Thread(target=lambda room=room: found.append(room.make(wanted))) for room in rooms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    folders = [path for path in (tmp_path / "environments").iterdir() if path.is_dir()]
    assert len(folders) == 1  # no second one, and none left aside


def test_failure_is_one_line_and_leaves_nothing(
    environments: Environments, tmp_path: Path, wheel: Wheel
) -> None:
    missing = tmp_path / "missing-1.0-py3-none-any.whl"
    with pytest.raises(EnvironmentFailed) as caught:
        environments.make(installing(str(missing)))
    assert str(missing) in str(caught.value) and "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "environments").iterdir() if path.is_dir()]
    wheel(tmp_path, "missing", 3)
    assert environments.make(installing(str(missing))).exists()


def test_unreachable_index_says_so(environments: Environments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(EnvironmentFailed, match=r"^cannot install no-such-thing-here: .+"):
        environments.make(installing("no-such-thing-here", index_urls=("http://127.0.0.1:9/simple",)))


def test_build_can_be_cancelled(environments: Environments, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never answers
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        with pytest.raises(EnvironmentFailed, match="cancelled"):
            environments.make(installing("slow-thing", index_urls=(address,)), lambda: True)
    assert not [path for path in (tmp_path / "environments").iterdir() if path.is_dir()]


def test_build_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from trainwright.local.execution.commands import Installation\n"
        "from trainwright.local.execution.environments import Environments\n"
        "root = Path(sys.argv[1]); lock = os.open(root / 'lock', os.O_RDWR | os.O_CREAT)\n"
        "wanted = Installation(('slow-thing',), index_urls=(sys.argv[2],))\n"
        "Environments(root / 'environments', root, lock).make([wanted])"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never answers
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        asking = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), address])
        silent.accept()
        asking.kill()
        asking.wait()
        with (tmp_path / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # had by the build until it has ended
