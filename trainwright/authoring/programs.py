"""A training program that travels inside the compiled pipeline, as KFP's lightweight components do.

Every prebuilt Vertex AI training image is past the end of its availability (Vertex AI documentation,
"Supported frameworks", 2026-08-22), and an image of one's own means a build before every change. A `Program`
needs neither: its source files stand as text in the job's command, which installs pinned packages on a slim
Python image, writes the files to a temporary folder and runs them.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainwright.authoring.images import PYTHON_IMAGE

MAX_CHARACTERS = 100_000
"""Most characters that all arguments of a training container may have together.

Vertex AI documentation, "Create a Python training application for a prebuilt container", 2026-08-22. We count
the command as well, and in JSON's escaped form: the job's launcher gets both as one argument of its own
process, and Linux ends that at 131,072 bytes (execve(2), MAX_ARG_STRLEN).
"""

_SOURCE = "# source of "

# Runs as `python3 -c`. The files come as one argument each, whose first line says the name; "--" ends them.
_BOOTSTRAP = f"""\
import pathlib, runpy, sys, tempfile

module, *rest = sys.argv[1:]
end = rest.index("--")
folder = pathlib.Path(tempfile.mkdtemp(prefix="program-"))
for source in rest[:end]:
    path = folder / source.partition("\\n")[0].removeprefix("{_SOURCE}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
sys.path.insert(0, str(folder))
sys.argv[1:] = rest[end + 1 :]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Program:
    """Source files that run as `python -m MODULE` in a training container.

    Attributes:
        module: What to run, e.g. "trainers.xgboost_tabular".
        root: Folder that the module's name counts from.
        files: Source files and folders (their .py files) below `root`, all that the module imports of them.
        packages: Pinned requirements, e.g. "xgboost-cpu==3.2.0".
        image_uri: Image with python3, pip and sh.
    """

    module: str
    root: Path
    files: tuple[str, ...]
    packages: tuple[str, ...] = ()
    image_uri: str = PYTHON_IMAGE

    def container_spec(self, args: Sequence[Any] = ()) -> dict[str, Any]:
        """The `container_spec` of a worker pool that runs the program.

        Args:
            args: Arguments of the program. Pipeline parameters and task outputs may stand in them, whole or
                in an f-string. None may become empty: the official launcher drops empty values.

        Returns:
            A dict with image_uri, command and args (Vertex AI API v1, `ContainerSpec`); the same for the same
            files and arguments on every machine.

        Raises:
            ValueError: A file is missing, a package cannot be quoted, a text holds what KFP would take for a
                placeholder, or all is larger than MAX_CHARACTERS.
        """
        command = ["python3", "-c", _BOOTSTRAP, self.module, *self._sources(), "--"]
        spec = {
            "image_uri": self.image_uri,
            "command": ["sh", "-ec", self._installation(), *command],
            "args": list(args),
        }
        size = len(json.dumps([spec["command"], [str(argument) for argument in args]]))
        if size > MAX_CHARACTERS:
            raise ValueError(
                f"program {self.module}: {size:,} characters with its arguments; Vertex AI takes at most "
                f"{MAX_CHARACTERS:,}: build an image for it"
            )
        return spec

    def command(self) -> list[str]:
        """The command of a model's container that runs the program, a model server without arguments.

        Returns:
            The words of `ModelContainerSpec.command` (Vertex AI API v1), where `$(` would begin a reference
            to a variable and is escaped by another `$`.

        Raises:
            ValueError: As for `container_spec`.
        """
        words: list[str] = self.container_spec()["command"]
        return [re.sub(r"\$(?=[$(])", "$$", word) for word in words]

    @property
    def fingerprint(self) -> str:
        """Changes with everything that the program is, and with nothing else."""
        content = json.dumps(self.container_spec(), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def _installation(self) -> str:
        for package in self.packages:
            if "'" in package:
                raise ValueError(f"program {self.module}: package {package!r} holds a quote")
        # exec, so that SIGTERM reaches the program and not a shell that waits for it.
        start = 'exec "$0" "$@"'
        if not self.packages:
            return start
        names = " ".join(f"'{package}'" for package in self.packages)
        return f"python3 -m pip install --quiet --no-warn-script-location {names} && {start}"

    def _sources(self) -> list[str]:
        """Each source file under a first line that says its name, sorted."""
        paths: list[Path] = []
        for name in self.files:
            path = self.root / name
            if not path.exists():
                raise ValueError(f"program {self.module}: no file or folder {name!r} below its root")
            paths += path.rglob("*.py") if path.is_dir() else [path]
        sources = []
        for path in sorted(set(paths)):
            name = path.relative_to(self.root).as_posix()
            text = path.read_text(encoding="utf-8")
            for mark in ("{{$", "{{channel:"):
                if mark in text:
                    raise ValueError(f"program {self.module}: {name} holds {mark!r}, a placeholder of KFP")
            sources.append(f"{_SOURCE}{name}\n{text}")
        return sources
