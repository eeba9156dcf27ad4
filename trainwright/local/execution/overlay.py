"""A thin Python environment for one process, so that what it installs stays its own.

A container is thrown away after its task; an interpreter on this machine is not, and may be the user's own.
So every process gets a folder of its own that is a virtual environment above the one that satisfies its
packages: `pip install` (also `python3 -m pip`, `sys.executable -m pip`, `uv pip`, and `--user`) writes
there and nowhere else, later imports find it first, and pip removes nothing below ("outside environment").
It is a handful of small files, so it costs about a millisecond, where a copied environment would cost
seconds.

It was chosen over PIP_TARGET, which pip ignores when it uninstalls and refuses together with `--user`, the
form that `CustomJob.from_local_script` uses (google-cloud-aiplatform 1.165.1).
"""

import contextlib
import os
import shutil
import sys
import sysconfig
import threading
import uuid
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

_BELOW = "_below.pth"
_PIP = '#!/bin/sh\nexec "{python}" -m pip "$@"\n'


@dataclass(frozen=True)
class Overlay:
    """A thin environment: its folder, its interpreter, and where it keeps packages."""

    folder: Path
    interpreter: Path
    packages: Path

    def environment(self, path: str) -> dict[str, str]:
        """The variables that make a process use it.

        Args:
            path: PATH without it.
        """
        return {
            "PATH": os.pathsep.join((str(self.interpreter.parent), path)),
            "VIRTUAL_ENV": str(self.folder),
            "PYTHONUSERBASE": str(self.folder / "user"),
            "PIP_REQUIRE_VIRTUALENV": "1",
        }


class Overlays:
    """Makes thin environments, and hands one out again when its process has left it as it was.

    Most processes install nothing, and to make and remove the files anew for each would cost 2 ms of the 15
    that a trivial task takes. Methods may be called from any thread.

    Args:
        folder: Where they are; what an earlier process left there is removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._pristine: dict[Path, list[tuple[Overlay, tuple[int, ...]]]] = defaultdict(list)
        self._taken: dict[Path, tuple[Path, tuple[int, ...]]] = {}
        shutil.rmtree(folder, ignore_errors=True)

    def take(self, interpreter: Path) -> Overlay:
        """A thin environment above that of an interpreter, with nothing installed, for one process.

        Raises:
            OSError: It cannot be written.
        """
        with self._lock:
            free = self._pristine[interpreter]
            found = free.pop() if free else None
        if found is None:
            overlay = make_overlay(self._folder / uuid.uuid4().hex[:12], interpreter)
            found = overlay, _marks(overlay)
        with self._lock:
            self._taken[found[0].folder] = interpreter, found[1]
        return found[0]

    def give_back(self, overlay: Overlay) -> bool:
        """Says that its process has ended; False when the process has changed it, and it is to be removed."""
        with self._lock:
            interpreter, marks = self._taken.pop(overlay.folder)
        with contextlib.suppress(OSError):
            if _marks(overlay) == marks:
                with self._lock:
                    self._pristine[interpreter].append((overlay, marks))
                return True
        return False


def _marks(overlay: Overlay) -> tuple[int, ...]:
    """What changes when a file is added, removed or rewritten: times and sizes."""
    places = (overlay.folder, overlay.interpreter.parent, overlay.packages)
    files = (overlay.folder / "pyvenv.cfg", overlay.packages / _BELOW, overlay.interpreter.parent / "pip")
    found = [place.stat() for place in (*places, *files)]
    return tuple(number for item in found for number in (item.st_mtime_ns, item.st_size))


def make_overlay(folder: Path, interpreter: Path) -> Overlay:
    """Makes a thin environment above another.

    Args:
        folder: Where; what is there is removed first.
        interpreter: The Python of the environment below, of the same version as the running one.

    Raises:
        OSError: It cannot be written.
    """
    if folder.exists():
        shutil.rmtree(folder)
    overlay = Overlay(folder, folder / "bin" / "python3", folder / _site_packages_of("."))
    overlay.packages.mkdir(parents=True)
    overlay.interpreter.parent.mkdir()
    base = Path(getattr(sys, "_base_executable", sys.executable))
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        (overlay.interpreter.parent / name).symlink_to(base)
    # With system packages: pip allows --user only then.
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = true\n")
    below = [Path(path) for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    if interpreter != Path(sys.executable):
        below = [site_packages(interpreter)]
    # `addsitedir` and not a bare path, so that .pth files below (editable installs) count as well.
    (overlay.packages / _BELOW).write_text(
        "".join(f"import site; site.addsitedir({str(path)!r})\n" for path in below)
    )
    for name in ("pip", "pip3"):
        script = overlay.interpreter.parent / name
        script.write_text(_PIP.format(python=overlay.interpreter))
        script.chmod(0o755)
    return overlay


def site_packages(interpreter: Path) -> Path:
    """Where a virtual environment of the running Python version keeps its packages.

    Args:
        interpreter: Its Python, in its folder `bin`.
    """
    return interpreter.parent.parent / _site_packages_of(".")


def _site_packages_of(base: str) -> str:
    return sysconfig.get_path("purelib", "venv", vars={"base": base})
