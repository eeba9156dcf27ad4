"""Which container images have a local counterpart, since no container engine is used.

A Python image is the Python environment that local Vertex makes; an image that is only a shell is the shell
of this machine. Of any other image the command decides, read before it is run. It runs here when all that it
runs is in the command itself or on this machine:

* `sh -c SCRIPT` (any shell), when every program that the script calls by name is on this machine;
* `python -c CODE`, in a Python environment;
* a program that the image is named after (`jetbrainsinfra/jq` runs `jq`), when this machine has it;
* a utility that only copies or prints (`echo`, `cp`), which is the same everywhere.

That never pretends: what runs is the command that was asked for, with its own exit code and its own words in
the log, and a script whose program is missing is refused rather than run, because `missing | tee file` would
succeed with an empty file. Everything else has its program in the image (an entry point, a path, a module,
a script file); it fails before it is run, and the message says how to map the image.
"""

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from typing import Literal

from trainwright.local.execution.commands import Component, Launcher, PlainCommand

Runtime = Literal["python", "host"]

# Only a system and its shell, whatever version their names end with (debian12, ubi9).
_HOST_IMAGES = re.compile(
    r"(alpine|almalinux|amazonlinux|bash|busybox|centos|debian|fedora|rockylinux|ubuntu|ubi)"
    r"([-.]?\d[\d.]*)?(-(slim|minimal|micro|init))?"
)
# Of those, whose `sh` is dash, as that of this machine may be. Elsewhere it is bash or BusyBox's ash, which
# have `[[` and `==`, too.
_DASH_IMAGES = re.compile(r"(debian|ubuntu)\b.*|debian\d+")
_GCPC_IMAGE = "google-cloud-pipeline-components"

# Google's images that hold the programs of its ops, but for the one that is only Python (kfp-v2-base):
# google-cloud-pipeline-components 2.22.0, 2025-11-10.
_PRIVATE = re.compile(
    r"(?:[\w.-]+-docker\.pkg\.dev/(?:vertex-ai-restricted|vertex-evaluation"
    r"|vertex-ai/(?:automl-tabular(?!/kfp-v2-base)|starryn|time-series-forecasting|vertex-vision-model-garden-dockers))"
    r"|gcr\.io/(?:ml-pipeline/(?:automl-tables-private|(?:llm-)?model-evaluation)|cloud-aiplatform-private"
    r"|model-evaluation-dev))/?[\w./-]*(?::[\w.-]+)?"
)

# Prebuilt training images, https://cloud.google.com/vertex-ai/docs/training/pre-built-containers
# (2026-08-22): FRAMEWORK-DEVICE.MAJOR-MINOR[.pyXYZ].
_PREBUILT = re.compile(
    r"(?:us|europe|asia)-docker\.pkg\.dev/vertex-ai/training/"
    r"(?P<framework>tf|pytorch|sklearn|xgboost)-(?:cpu|gpu|xla)\.(?P<major>\d+)-(?P<minor>\d+)(?:\.py\d+)?"
)
# Prebuilt prediction images, https://cloud.google.com/vertex-ai/docs/predictions/pre-built-containers
# (2026-08-22), as far as there is a model server for them here. joblib reads their models.
_PREDICTION = re.compile(
    r"(?:us|europe|asia)-docker\.pkg\.dev/vertex-ai/prediction/"
    r"(?P<framework>sklearn|xgboost)-(?:cpu|gpu)\.(?P<major>\d+)-(?P<minor>\d+)"
)
# Part of each, by the same page; their other packages are left to the trainer, which says so when it misses
# one.
_PREBUILT_CONTENTS = ("google-cloud-storage", "pandas")
_PREDICTION_CONTENTS = {
    "sklearn": ("scikit-learn{version}", "joblib"),
    "xgboost": ("xgboost-cpu{version}", "scikit-learn", "joblib"),  # -cpu: without 200 MB for several GPUs
}
_FRAMEWORKS = {"tf": "tensorflow", "pytorch": "torch", "sklearn": "scikit-learn", "xgboost": "xgboost"}

_SHELLS = {"sh", "bash", "dash", "ash", "zsh"}
_PLAIN_SHELLS = {"sh", "/bin/sh", "ash", "/bin/ash"}
_PYTHON = re.compile(r"python(3(\.\d+)?)?")
_STANDARD_FOLDERS = {"", "/bin", "/usr/bin", "/usr/local/bin"}
# Not `test`, `sort` and the like: where a container has only arguments, they may be those of an entry point.
_UTILITIES = {"cat", "cp", "echo", "false", "ls", "mkdir", "mv", "printf", "sleep", "tee", "touch", "true"}
# POSIX.1-2024, Shell Command Language: reserved words after which a command stands, and built-in utilities.
_BEFORE_COMMANDS = {"if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "exec", "command"}
_BUILTINS = {
    ".", ":", "[", "[[", "alias", "bg", "break", "cd", "continue", "declare", "done", "echo", "esac", "eval",
    "exit", "export", "false", "fg", "fi", "getopts", "hash", "jobs", "kill", "local", "printf", "pwd",
    "read", "readonly", "return", "set", "shift", "shopt", "source", "test", "times", "trap", "true", "type",
    "ulimit", "umask", "unalias", "unset", "wait", "}",
}  # fmt: skip


class UnknownImage(Exception):
    """An image that has no local counterpart; one line that says how to give it one."""


def runtime_of(
    image: str, program: Component | Launcher | PlainCommand, images: Mapping[str, str]
) -> tuple[Runtime, tuple[str, ...]]:
    """What stands for a container image here.

    Args:
        image: As in the compiled pipeline or the worker pool.
        program: What runs in it. A lightweight component or a launcher brings or names all that it
            needs, so any image will do.
        images: The user's own answers, image (with or without its tag) to "python" or "host".

    Returns:
        "python" or "host", and the packages that such a Python image is known to hold.

    Raises:
        UnknownImage: Nothing here stands for it.
        ValueError: `images` maps it to another word.
    """
    name = _without_tag(image)
    mapped = _mapped(image, images)
    if mapped is not None:
        if mapped not in ("python", "host"):
            raise ValueError(f"images: {image!r} is mapped to {mapped!r}; expected 'python' or 'host'")
        return ("python" if mapped == "python" else "host"), ()
    if isinstance(program, (Component, Launcher)):
        return "python", ()
    last = name.rpartition("/")[2]
    if last in ("python", _GCPC_IMAGE) or re.fullmatch(r"python-3\d+", last):
        return "python", ()
    if _HOST_IMAGES.fullmatch(last):
        return "host", ()
    if prebuilt := _PREBUILT.fullmatch(name):
        framework = _FRAMEWORKS[prebuilt["framework"]]
        version = f"{prebuilt['major']}.{prebuilt['minor']}.*"
        return "python", (f"{framework}=={version}", *_PREBUILT_CONTENTS)
    if prediction := _PREDICTION.fullmatch(name):
        version = f"=={prediction['major']}.{prediction['minor']}.*"
        contents = _PREDICTION_CONTENTS[prediction["framework"]]
        return "python", tuple(package.format(version=version) for package in contents)
    return _by_command(image, name, program.words), ()


def is_mapped(image: str, images: Mapping[str, str]) -> bool:
    """Whether the user has said what stands for an image; arguments as of `runtime_of`."""
    return _mapped(image, images) is not None


def _mapped(image: str, images: Mapping[str, str]) -> str | None:
    return images.get(image, images.get(_without_tag(image)))


def private_image(image: str, words: Sequence[str], images: Mapping[str, str]) -> str:
    """The first image of Google's that a container is of, or that its words name, and that is not mapped.

    A job's launcher names the images of the replicas in its arguments.

    Args:
        image: The container image.
        words: Its command and arguments.
        images: The user's own answers, as of `runtime_of`.
    """
    found = (match[0] for text in (image, *words) for match in _PRIVATE.finditer(text))
    return next((name for name in found if not is_mapped(name, images)), "")


def shell_of(image: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """A command with the shell that stands for its image's `sh` here.

    Args:
        image: The container image.
        words: The command and its arguments.

    Returns:
        The words; of a system whose `sh` knows more than POSIX's, and when this machine has bash, with bash
        in its POSIX mode.
    """
    last = _without_tag(image).rpartition("/")[2]
    if not words or words[0] not in _PLAIN_SHELLS or not _HOST_IMAGES.fullmatch(last):
        return words
    if _DASH_IMAGES.fullmatch(last) or shutil.which("bash") is None:
        return words
    return ("bash", "--posix", *words[1:])


def _by_command(image: str, name: str, words: tuple[str, ...]) -> Runtime:
    folder, _, program = words[0].rpartition("/") if words else ("", "", "")
    reason = (
        f"what {' '.join(words[:2])[:60]!r} runs is in the image alone" if words else "it names no command"
    )
    if folder in _STANDARD_FOLDERS and program:
        if program in _SHELLS and len(words) > 2 and re.fullmatch(r"-[a-z]*c", words[1]):
            missing = sorted(name for name in _called(words[2]) if shutil.which(name) is None)
            if not missing:
                return "host"
            reason = f"this machine has no {missing[0]!r}"
        elif _PYTHON.fullmatch(program) and "-c" in words[1:3]:
            return "python"
        elif program in _UTILITIES or program == name.rpartition("/")[2]:
            if shutil.which(words[0]) is not None:
                return "host"
            reason = f"this machine has no {program!r}"
    raise UnknownImage(
        f"image {image!r} cannot be run here: no container engine is used, and {reason};"
        f' map it in trainwright.toml: [local] images = {{ "{name}" = "python" }},'
        ' or "host" for this machine\'s shell, or run it in Docker (--runtime docker);'
        " then start local Vertex again"
    )


def _called(script: str) -> set[str]:
    """The programs that a shell script calls by plain names, as far as its words tell.

    None of a script with here-documents, `case` or `for`, whose words are not all commands and arguments.
    """
    lexer = shlex.shlex(script, posix=True, punctuation_chars=";&|()<>\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # an open quote: the shell will say so
        return set()
    if {"<<", "<<<", "case", "for", "select", "function"} & set(words):
        return set()
    called, known, expected = set(), set(_BUILTINS), True
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if not word.strip(";&|()\n"):
            expected = True
        elif expected and following.startswith("()"):
            known.add(word)
            expected = False
        elif expected and word not in _BEFORE_COMMANDS and not re.match(r"\w+=", word):
            expected = False
            if re.fullmatch(r"[A-Za-z][\w.+-]*", word):
                called.add(word)
    return called - known


def _without_tag(image: str) -> str:
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(":")[0]
