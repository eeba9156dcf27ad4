"""What a training program needs around its training: arguments, files, checkpoints, logs and its end.

Only the standard library and google-cloud-storage. Every location is a gs:// URI or a plain path: Cloud
Storage is read and written by its API and not by a mount, so that an upload that is cut off leaves nothing.

Contract with the platform (Vertex AI, "Custom training code requirements", 2026-08-22):
    AIP_MODEL_DIR       where the finished model goes
    AIP_CHECKPOINT_DIR  where a restarted replica finds what it had done
    SIGTERM             the machine is about to go: save and leave
"""

import argparse
import contextlib
import dataclasses
import difflib
import functools
import io
import json
import os
import signal
import traceback
import typing
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

Settings = TypeVar("Settings")

PREEMPTED = 128 + signal.SIGTERM
"""Exit status of a program that saved its work and left because it was told to."""


class UserError(Exception):
    """The data or the arguments are wrong; the message is one line that says what was found and expected."""


def log(severity: str, message: str, **fields: Any) -> None:
    """Prints one structured log entry.

    Args:
        severity: DEBUG, INFO, NOTICE, WARNING, ERROR or CRITICAL (Cloud Logging, "LogSeverity", 2026).
        message: What a person reads.
        **fields: Values to filter and plot by; Cloud Logging keeps them in `jsonPayload`.
    """
    print(json.dumps({"severity": severity, "message": message, **fields}), flush=True)


def run(program: Callable[[Settings], None], settings: type[Settings], arguments: Sequence[str]) -> int:
    """Runs a program from its command line to its exit status, with every failure as one log entry.

    Args:
        program: Does the training.
        settings: Dataclass of str, int, float and bool fields: its arguments.
        arguments: `--name=value` or `--name value` for each field; fields without default are required.

    Returns:
        0 when done, 1 after a user's mistake or any other exception, PREEMPTED after SIGTERM.
    """
    try:
        program(parse_arguments(settings, arguments))
    except UserError as error:
        log("ERROR", str(error))
        return 1
    except Preempted as preempted:
        log("WARNING", str(preempted))
        return PREEMPTED
    except Exception:
        log("CRITICAL", traceback.format_exc())
        return 1
    return 0


# Arguments


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> typing.NoReturn:
        raise UserError(message)


def true_or_false(text: str) -> bool:
    """A boolean argument; a pipeline parameter is written as "true" or "True", depending on its place."""
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def parse_arguments(settings: type[Settings], arguments: Sequence[str]) -> Settings:
    """Reads the arguments into the dataclass.

    Raises:
        UserError: An argument is unknown, missing or of another type.
    """
    hints = typing.get_type_hints(settings)
    parser = _Parser(description=settings.__doc__, allow_abbrev=False, add_help=True)
    fields = dataclasses.fields(settings)  # type: ignore[arg-type]
    for field in fields:
        kind = true_or_false if hints[field.name] is bool else hints[field.name]
        required = field.default is dataclasses.MISSING
        parser.add_argument(f"--{field.name}", type=kind, required=required, default=field.default)
    known, unknown = parser.parse_known_args(arguments)
    if unknown:
        names = [field.name for field in fields]
        nearest = difflib.get_close_matches(unknown[0].lstrip("-").partition("=")[0], names, 1)
        hint = f"; did you mean --{nearest[0]}" if nearest else ""
        raise UserError(f"unknown argument {unknown[0]!r}{hint}")
    return settings(**vars(known))


# Files


def join(location: str, *names: str) -> str:
    """The location of a file below another."""
    return "/".join([location.rstrip("/"), *names])


def read_bytes(location: str) -> bytes:
    """The content of one file.

    Raises:
        UserError: There is none.
    """
    if not location.startswith("gs://"):
        if not Path(location).is_file():
            raise UserError(f"{location}: no such file")
        return Path(location).read_bytes()
    from google.api_core.exceptions import NotFound

    try:
        return _blob(location).download_as_bytes()
    except NotFound:
        raise UserError(f"{location}: no such object") from None


def write_bytes(location: str, content: bytes) -> None:
    """Writes one file whole or not at all: a reader sees the old content or the new."""
    if location.startswith("gs://"):
        _blob(location).upload_from_string(content, content_type="application/octet-stream")
        return
    path = Path(location)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def list_files(location: str) -> list[str]:
    """The locations of all files below a folder, sorted; empty when there is no such folder."""
    if not location.startswith("gs://"):
        found = (path for path in Path(location).rglob("*") if path.is_file())
        return sorted(str(path) for path in found if not path.name.startswith("."))
    bucket, _, prefix = location.removeprefix("gs://").partition("/")
    blobs = _client().list_blobs(bucket, prefix=prefix.rstrip("/") + "/")
    return sorted(f"gs://{bucket}/{blob.name}" for blob in blobs if not blob.name.endswith("/"))


def delete_file(location: str) -> None:
    """Removes one file; one that is not there is no error."""
    if not location.startswith("gs://"):
        Path(location).unlink(missing_ok=True)
        return
    from google.api_core.exceptions import NotFound

    with contextlib.suppress(NotFound):
        _blob(location).delete()


def fetch(location: str, folder: Path, suffix: str) -> list[Path]:
    """Local paths of the files at a location, which is one file or a folder of them, sorted by name.

    Args:
        location: gs:// URI or path. What is local already is not copied.
        folder: Where objects are downloaded to.
        suffix: End of the names that are wanted in a folder, e.g. ".parquet".

    Raises:
        UserError: There is neither a file of that name nor one of that suffix below it.
    """
    return fetch_part(location, folder, suffix, 0, 1)[0]


def fetch_part(location: str, folder: Path, suffix: str, number: int, parts: int) -> tuple[list[Path], bool]:
    """As `fetch`, but only every `parts`-th file from the `number`-th on, if there are that many files.

    Returns:
        The paths, and whether they are a part; False: there are fewer files than parts, and these are all.
    """
    names = _names(location, suffix)
    is_part = len(names) >= parts
    chosen = [(at, name) for at, name in enumerate(names) if not is_part or at % parts == number]
    if location.startswith("gs://"):
        return [_download(name, folder / f"{at:05d}{suffix}") for at, name in chosen], is_part
    return [Path(name) for _, name in chosen], is_part


def _names(location: str, suffix: str) -> list[str]:
    is_object = location.startswith("gs://")
    if not is_object and Path(location).is_file():
        return [location]
    names = [name for name in list_files(location) if name.endswith(suffix)]
    if not names and is_object and _blob(location).exists():
        names = [location]
    if not names:
        raise UserError(f"{location}: neither a file nor a folder of {suffix} files")
    return names


def _download(uri: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    _blob(uri).download_to_filename(str(path))
    return path


@functools.cache
def _client() -> Any:
    from google.cloud import storage

    return storage.Client(project=os.environ.get("CLOUD_ML_PROJECT_ID"))


def _blob(uri: str) -> Any:
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return _client().bucket(bucket).blob(name.rstrip("/"))


# Checkpoints


class Checkpoints:
    """What a run had done at a step, each as one zip file, so that it is there whole or not at all.

    Args:
        location: gs:// URI or path of a folder, usually AIP_CHECKPOINT_DIR; empty: nothing is kept.
        identity: Says which run this is. A checkpoint of another (other data or arguments) is not used.
        keep: Number of newest checkpoints that stay.
    """

    def __init__(self, location: str, identity: str, keep: int = 2) -> None:
        self._location = location
        self._identity = identity
        self._keep = keep

    def save(self, step: int, files: Mapping[str, bytes]) -> None:
        """Keeps the files as the state after `step` steps and drops the oldest checkpoints."""
        if not self._location:
            return
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("identity", self._identity)
            for name, data in files.items():
                archive.writestr(name, data)
        write_bytes(join(self._location, f"checkpoint-{step:010d}.zip"), content.getvalue())
        for old in self._all()[: -self._keep]:
            delete_file(old)

    def latest(self) -> dict[str, bytes] | None:
        """The files of the newest checkpoint of this run that can be read, or None."""
        for location in reversed(self._all()):
            try:
                with zipfile.ZipFile(io.BytesIO(read_bytes(location))) as archive:
                    files = {name: archive.read(name) for name in archive.namelist()}
            except zipfile.BadZipFile:
                log("WARNING", f"{location} is damaged; using the one before it")
                continue
            if files.pop("identity", b"").decode() == self._identity:
                return files
            log("WARNING", f"{location} is of a run with other data or arguments; not used")
        return None

    def clear(self) -> None:
        """Removes the checkpoints of a run that is done."""
        for location in self._all():
            delete_file(location)

    def _all(self) -> list[str]:
        if not self._location:
            return []
        return [name for name in list_files(self._location) if PurePosixPath(name).match("checkpoint-*.zip")]


class Preempted(Exception):
    """The machine is going away, and the work so far is saved."""


class Preemption:
    """Notices SIGTERM, so that the program can finish its step, save and raise Preempted.

    Spot machines give 30 seconds from SIGTERM to the end (Compute Engine, "Spot VMs", 2026); Vertex AI
    documents no notice of its own, so a checkpoint every few steps stays necessary.
    """

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.requested = True


def model_location() -> str:
    """AIP_MODEL_DIR.

    Raises:
        UserError: It is not set.
    """
    location = os.environ.get("AIP_MODEL_DIR", "")
    if not location:
        raise UserError("AIP_MODEL_DIR is not set: give the job a base output directory")
    return location


def checkpoint_location() -> str:
    """AIP_CHECKPOINT_DIR, or "" with a warning when the platform set none."""
    location = os.environ.get("AIP_CHECKPOINT_DIR", "")
    if not location:
        log("WARNING", "AIP_CHECKPOINT_DIR is not set: a restart begins anew")
    return location
