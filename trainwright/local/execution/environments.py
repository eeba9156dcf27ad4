"""Python environments that satisfy what a command would have installed by pip.

The running environment is used when its installed packages satisfy every requirement; else one is made by uv,
once for each set of requirements, under the state folder. It holds what the container would hold: the
standard library, those packages and kfp. The running environment is never changed.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from trainwright.local.execution.commands import Installation
from trainwright.local.execution.overlay import site_packages

# Runs a command, and kills it with all that it started when this end of its standard input closes: when this
# process is killed, the build of an environment must not outlive it.
_GUARD = """
import os, signal, subprocess, sys, threading
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def watch():
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
code = process.wait()
os._exit(code if code >= 0 else 128 - code)
"""


class EnvironmentFailed(Exception):
    """The packages cannot be installed; one line that names them and says why."""


class Environments:
    """Finds or makes environments.

    Args:
        root: Folder for those that are made, one folder each.
        gcs_root: The folder that stands for `gs://`; requirements under `/gcs/` are looked up there.
        process_lock: File descriptor that a build holds open until it ends.
    """

    def __init__(self, root: Path, gcs_root: Path, process_lock: int) -> None:
        self._root = root
        self._gcs_root = gcs_root
        self._process_lock = process_lock
        self._satisfied: dict[tuple[Installation, ...], bool] = {}

    def find(self, installations: Sequence[Installation]) -> Path | None:
        """The interpreter of an environment that is there; None when it has to be made."""
        wanted = self._wanted(installations)
        if not wanted:
            return Path(sys.executable)
        python = self._folder(wanted) / "bin" / "python3"
        return python if python.exists() else None

    def make(
        self, installations: Sequence[Installation], cancelled: Callable[[], bool] = lambda: False
    ) -> Path:
        """The interpreter of an environment that satisfies the installations, made now if it has to be.

        Two callers at once, in any process, build once. A build that fails or is killed leaves nothing that
        a later call takes for an environment.

        Args:
            installations: What a command would install.
            cancelled: Asked about five times a second; True ends the build.

        Raises:
            EnvironmentFailed: A package does not exist, conflicts, or cannot be fetched.
        """
        if found := self.find(installations):
            return found
        wanted = self._wanted(installations)
        folder = self._folder(wanted)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder.with_suffix(".lock"), cancelled):
            if not folder.exists():
                self._build(folder, wanted, cancelled)
        return folder / "bin" / "python3"

    def _wanted(self, installations: Sequence[Installation]) -> tuple[Installation, ...]:
        """What is to be installed: nothing, or all but kfp's installation of itself."""
        key = tuple(installations)
        if key not in self._satisfied:
            self._satisfied[key] = all(_satisfied(item) for item in key)
        if self._satisfied[key]:
            return ()
        localized = (self._localize(item) for item in key if not _is_present_kfp(item))
        return tuple(localized)

    def _localize(self, installation: Installation) -> Installation:
        requirements = tuple(
            str(self._gcs_root / item.removeprefix("/gcs/")) if item.startswith("/gcs/") else item
            for item in installation.requirements
        )
        return Installation(**{**vars(installation), "requirements": requirements})

    def _folder(self, wanted: Sequence[Installation]) -> Path:
        kfp = importlib.metadata.distribution("kfp")
        contents = {
            "python": [sys.version, sys.base_prefix],
            "platform": sysconfig.get_platform(),
            "kfp": [kfp.version, str(kfp.locate_file("kfp"))],
            "installations": [vars(item) for item in wanted],
            "files": [_digest(Path(name)) for item in wanted for name in item.requirements],
        }
        return self._root / hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:24]

    def _build(self, folder: Path, wanted: Sequence[Installation], cancelled: Callable[[], bool]) -> None:
        for abandoned in self._root.glob(
            f"{folder.name}.building-*"
        ):  # by a process that was killed: we hold the lock
            shutil.rmtree(abandoned, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.building-", dir=self._root))
        try:
            python = aside / "bin" / "python3"
            for arguments in (
                # Relocatable: scripts find their interpreter after the folder has been renamed.
                ["venv", "--relocatable", "--allow-existing", "--python", sys.executable, str(aside)],
                *(["pip", "install", "--python", str(python), *_uv_options(item)] for item in wanted),
            ):
                _uv(arguments, wanted, cancelled, self._process_lock)
            _link_kfp(site_packages(python))
            aside.rename(folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def distributions(installations: Sequence[Installation]) -> tuple[str, ...]:
    """The normalized names of the packages that are installed by name, kfp aside."""
    names = {parsed.name for item in installations for parsed in _parsed(item) if parsed is not None}
    return tuple(sorted({canonicalize_name(name) for name in names} - {"kfp"}))


def _parsed(installation: Installation) -> Iterator[Requirement | None]:
    for text in installation.requirements:
        try:
            yield Requirement(text)
        except InvalidRequirement:  # a path or an address
            yield None


def _satisfied(installation: Installation) -> bool:
    if _is_present_kfp(installation):
        return True
    return all(parsed is not None and _installed(parsed) for parsed in _parsed(installation))


def _installed(requirement: Requirement, extra: str = "") -> bool:
    """Whether the running environment has it, with what its extras need."""
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
        return True
    if requirement.url is not None:
        return False
    try:
        found = importlib.metadata.distribution(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    if not requirement.specifier.contains(found.version, prereleases=True):
        return False
    needs = [Requirement(text) for text in found.requires or ()] if requirement.extras else []
    return all(
        _installed(need, extra)
        for extra in requirement.extras
        for need in needs
        if need.marker is not None and "extra" in str(need.marker)
    )


def _is_present_kfp(installation: Installation) -> bool:
    """Whether this is kfp's installation of itself, which the kfp that is here answers for.

    The compiler writes `kfp==<its own version> --no-deps` into every lightweight component, so that the
    executor in the container understands what that compiler wrote. A newer kfp of the same major version
    does so too (it keeps reading the older ExecutorInput), while taking the version literally would need
    one more environment for each kfp that anyone ever compiled with, and was measured to break pipelines
    whose compiler was older than a feature that they use. A user's own `kfp==...` comes without --no-deps
    and is taken literally.
    """
    found = Version(importlib.metadata.version("kfp"))
    kfp = [item for item in _parsed(installation) if item is not None and item.name == "kfp"]
    if installation.dependencies or len(kfp) != 1:
        return False
    others = [item for item in _parsed(installation) if item is not kfp[0]]
    if not all(item is not None and (item.name == "kfp" or _installed(item)) for item in others):
        return False
    pins = [Version(clause.version) for clause in kfp[0].specifier if clause.operator == "=="]
    return all(pin.major == found.major and pin <= found for pin in pins)


def _link_kfp(site: Path) -> None:
    """Shows the running environment's kfp in another one, unless that has its own.

    kfp's executor needs nothing but the standard library (the container gets it with --no-deps), so the link
    brings no other package in.
    """
    if (site / "kfp").exists():
        return
    spec = importlib.util.find_spec("kfp")
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentFailed("kfp is not installed where local Vertex runs")
    package = Path(spec.submodule_search_locations[0])
    (site / "kfp").symlink_to(package)
    for metadata in package.parent.glob("kfp-*.dist-info"):
        (site / metadata.name).symlink_to(metadata)


def _uv_options(installation: Installation) -> list[str]:
    options = [f"--default-index={url}" for url in installation.index_urls]
    options += [f"--index={url}" for url in installation.extra_index_urls]
    # kfp writes the whole address of an index there (kfp/dsl/component_factory.py, 2.17.0).
    hosts = [urlsplit(host if "://" in host else f"//{host}").netloc for host in installation.trusted_hosts]
    options += [f"--allow-insecure-host={host}" for host in hosts if host]
    options += [f"--find-links={place}" for place in installation.find_links]
    if installation.extra_index_urls:
        options.append("--index-strategy=unsafe-best-match")  # pip's: the best version of all indexes
    if installation.prereleases:
        options.append("--prerelease=allow")
    if not installation.dependencies:
        options.append("--no-deps")
    return [*options, "--", *installation.requirements]


def _uv(
    arguments: list[str], wanted: Sequence[Installation], cancelled: Callable[[], bool], process_lock: int
) -> None:
    """Runs uv; without the network a second time from its cache.

    Raises:
        EnvironmentFailed: With the last lines that uv said.
    """
    code, lines = _run_uv(arguments, cancelled, process_lock)
    if code != 0 and any("Failed to fetch" in line for line in lines):
        code = _run_uv(["--offline", *arguments], cancelled, process_lock)[0]
    if code != 0:
        names = ", ".join(name for item in wanted for name in item.requirements)
        raise EnvironmentFailed(f"cannot install {names}: {' '.join(lines[-3:]) or f'uv ended with {code}'}")


def _run_uv(arguments: list[str], cancelled: Callable[[], bool], process_lock: int) -> tuple[int, list[str]]:
    options = ["--quiet", "--color=never", "--no-python-downloads"]
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, _uv_binary(), *options, *arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=_uv_environment(),
            cwd="/",  # where no project's uv settings apply
            pass_fds=(process_lock,),
            start_new_session=True,
        ) as process,
    ):
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
            if process.returncode is None and cancelled():
                os.killpg(process.pid, signal.SIGKILL)  # what builds a package, too
                raise EnvironmentFailed("the installation of packages was cancelled")
        output.seek(0)
        text = output.read().decode(errors="replace")
    return process.returncode, [line.strip() for line in text.splitlines() if line.strip()]


def _uv_binary() -> str:
    with contextlib.suppress(ImportError, FileNotFoundError):
        import uv

        return uv.find_uv_bin()
    found = shutil.which("uv")
    if found is None:
        raise EnvironmentFailed("uv is not installed: pip install 'trainwright[local]'")
    return found


def _uv_environment() -> dict[str, str]:
    """This process's variables; whoever has told pip where its index is has told uv."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_PROJECT")
    }
    for theirs, ours in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_EXTRA_INDEX_URL", "UV_INDEX")):
        if theirs in environment:
            environment.setdefault(ours, environment[theirs])
    return environment


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_absolute() and path.is_file() else None


@contextlib.contextmanager
def _locked(path: Path, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Holds a file lock; among the threads of this process too, as each opens the file anew."""
    with open(path, "w", encoding="ascii") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if cancelled():
                    raise EnvironmentFailed("waiting for an environment was cancelled") from None
                time.sleep(0.1)
        yield
