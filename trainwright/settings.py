"""`trainwright.toml`: environments to submit pipelines to, and the settings and state folder of local Vertex.

An example:

    [environments.prod]
    project = "acme-ml"
    location = "europe-west4"
    bucket = "acme-ml-pipelines"
    service_account = "pipelines@acme-ml.iam.gserviceaccount.com"
    labels = { team = "churn" }
    failure_policy = "fast"
    max_cost = 20.0

    [environments.prod.parameters.churn]
    machine_type = "n2-standard-16"

    [environments.prod.hours.churn]
    "train/custom-training-job" = 1.5

The environment `local` needs no entry: it is the local Vertex AI of the state folder. What it runs for
container images that it does not know is said by their name, with or without a tag:

    [local]
    images = { "europe-docker.pkg.dev/acme-ml/trainers/churn" = "python", "ghcr.io/acme/tool" = "host" }

and a rehearsal of what happens to spot jobs by how often their machines are taken away, in seconds:

    [local]
    preempt_every = 60

Notification e-mails are written to `outbox` in the state folder, and sent when a server is named:

    [local.smtp]
    host = "smtp.acme.example"
    port = 587
    security = "starttls"
    sender = "ml@acme.example"
    username = "ml"
    password_file = "~/.smtp-password"

How long an AutoML training may take here, however large the budget that Vertex AI would be asked for:

    [local]
    automl_seconds = 300

What `trainwright lint` finds and is meant, with the reason:

    [[lint.allow]]
    rule = "image-digest"
    reason = "Debian's fixes are to come in by themselves."
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trainwright.errors import UserError
from trainwright.nearest import nearest

SETTINGS_FILE = "trainwright.toml"
LOCAL = "local"
_TABLES = ("environments", "local", "lint")
LOCAL_DEFAULTS: dict[str, Any] = {
    "project": "trainwright-local",
    "location": "us-central1",
    "bucket": "trainwright-local",
    "poll_seconds": 0.3,
}


class Environment(BaseModel):
    """Where a pipeline is submitted to, and with what: an `[environments.NAME]` of `trainwright.toml`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str = Field(exclude=True)
    project: Annotated[str, Field(min_length=1)]
    """Google Cloud project id."""
    location: Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)+[0-9]+$")]
    """Region, such as `europe-west4`."""
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][-_.a-z0-9]{1,220}[a-z0-9]$")]
    """Cloud Storage bucket of the runs' artifacts, without `gs://`."""
    service_account: str | None = None
    """E-mail address of the account that runs act as."""
    network: Annotated[str | None, Field(pattern=r"^projects/[^/]+/global/networks/[^/]+$")] = None
    """VPC network that runs are peered with: `projects/NUMBER/global/networks/NAME`."""
    labels: dict[str, str] = {}
    """Labels of every run."""
    encryption_key: Annotated[
        str | None, Field(pattern=r"^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$")
    ] = None
    """Cloud KMS key that protects every run."""
    enable_caching: bool | None = None
    """Overrides what the pipelines' tasks say about caching; unset leaves it to them."""
    failure_policy: Literal["slow", "fast"] | None = None
    """`fast` starts no further task once one has failed; unset is Vertex AI's default, `slow`."""
    parameters: dict[str, dict[str, Any]] = {}
    """Values of pipelines' parameters, by the pipeline's file name and the parameter's; `--params` and
    `--param` win over them."""
    hours: dict[str, dict[str, Annotated[float, Field(ge=0)]]] = {}
    """Hours that tasks take, for the estimate of costs, by the pipeline's file name and the task's path."""
    max_cost: Annotated[float | None, Field(gt=0)] = None
    """Most that a run may cost by the estimate, in USD: above it nothing is submitted."""
    poll_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Seconds between two looks at a run that is waited for."""

    def parameters_name(self, pipeline: str) -> str:
        """What the table of a pipeline's parameters is called in the settings."""
        return f"{SETTINGS_FILE}: environments.{self.name}.parameters.{pipeline}"

    @property
    def pipeline_root(self) -> str:
        """The `gs://` folder under which Vertex AI writes the artifacts of runs."""
        return f"gs://{self.bucket}/pipeline_root"

    @property
    def is_local(self) -> bool:
        """Whether this is the local Vertex AI of the state folder, which a command may have to start."""
        return self.name == LOCAL


class Smtp(BaseModel):
    """The server that local Vertex sends notification e-mails through: `smtp` of `[local]`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    host: Annotated[str, Field(min_length=1)]
    """Its name or address."""
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    """587 is usual with `starttls`, 465 with `tls`."""
    security: Literal["none", "starttls", "tls"] = "none"
    """How the connection is protected."""
    sender: Annotated[str, Field(pattern=r"^[^\s@<>,;]+@[^\s@<>,;]+$")]
    """Whom messages are from."""
    username: str | None = None
    """Whom to log in as; unset does not log in."""
    password_file: str | None = None
    """A file that holds the password, and nothing else."""

    @model_validator(mode="after")
    def _has_password(self) -> "Smtp":
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together")
        return self


class Local(BaseModel):
    """How local Vertex runs what it is given: `[local]` of `trainwright.toml`.

    Its keys are those of `trainwright.local.options.Options`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    images: dict[str, Literal["python", "host"]] = {}
    """What stands for container images that it does not know: `python` is an environment with the packages
    that the command installs, `host` this machine's shell and programs."""
    runtime: Literal["process", "docker", "podman"] = "process"
    """Whether tasks run as processes of this machine, or in their images by a container engine."""
    preempt_every: Annotated[float | None, Field(gt=0)] = None
    """Seconds after which every custom job with strategy SPOT is preempted, again and again."""
    smtp: Smtp | None = None
    """The server that notification e-mails are sent through."""
    automl_seconds: float = Field(default=60.0, gt=0, le=86_400, strict=False)
    """Most wall-clock seconds of an AutoML training, however large the budget that is asked for."""
    automl_models: int = Field(default=0, ge=0, le=10_000)
    """How many models an AutoML training tries in place of seconds: the same data give the same model."""


class Allow(BaseModel):
    """Findings of `trainwright lint` that are meant: one `[[lint.allow]]`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    rule: Annotated[str, Field(min_length=1)]
    """Id of the rule."""
    reason: Annotated[str, Field(min_length=10)]
    """Why it is meant, for those who read it later."""
    files: str = "*"
    """Pattern of the files' paths."""
    task: str = "*"
    """Pattern of the tasks' paths."""
    text: str = ""
    """A part of the message."""


class Lint(BaseModel):
    """What `trainwright lint` leaves out: `[lint]` of `trainwright.toml`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    allow: list[Allow] = []


def state_folder() -> Path:
    """Where local Vertex keeps its state: `$TRAINWRIGHT_STATE`, or `.trainwright` in the current folder."""
    return Path(os.environ.get("TRAINWRIGHT_STATE") or ".trainwright").expanduser().absolute()


def find_settings(folder: Path) -> Path | None:
    """Finds `trainwright.toml` in a folder or the nearest one above it."""
    candidates = (parent / SETTINGS_FILE for parent in (folder, *folder.parents))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def read_environments(path: Path | None) -> dict[str, Environment]:
    """Reads every environment of a settings file, and `local`.

    Args:
        path: The settings file, or None where there is none.

    Returns:
        The environments by name; `local` is always among them.

    Raises:
        UserError: The file is not TOML, or has an unknown key or a value of the wrong type.
    """
    document = _read_document(path)
    _local(path, document)
    tables = document.get("environments", {})
    if not isinstance(tables, dict):
        raise UserError(f"{path}: environments is {_toml_type(tables)}, expected [environments.NAME] tables")
    return {name: _environment(path, name, tables.get(name, {})) for name in dict.fromkeys((LOCAL, *tables))}


def find_environment(name: str, *, folder: Path | None = None) -> Environment:
    """Looks an environment up by its name in the nearest `trainwright.toml`.

    Args:
        name: `local`, or the NAME of an `[environments.NAME]` table.
        folder: Where to start looking for the settings file; the current folder unless given.

    Raises:
        UserError: There is no such environment, or the settings file is wrong.
    """
    path = find_settings(folder or Path.cwd())
    environments = read_environments(path)
    if name not in environments:
        where = str(path) if path else f"no {SETTINGS_FILE} here or above"
        raise UserError(f"--env {name}: unknown environment ({where}), {nearest(name, environments)}")
    return environments[name]


def find_local(*, folder: Path | None = None) -> Local:
    """Reads the settings of local Vertex in the nearest `trainwright.toml`; without one, the defaults.

    Args:
        folder: Where to start looking for the settings file; the current folder unless given.

    Raises:
        UserError: The settings file is wrong.
    """
    path = find_settings(folder or Path.cwd())
    return _local(path, _read_document(path))


def find_lint(*, folder: Path | None = None) -> Lint:
    """Reads what `trainwright lint` leaves out in the nearest `trainwright.toml`; without one, nothing.

    Args:
        folder: Where to start looking for the settings file; the current folder unless given.

    Raises:
        UserError: The settings file is wrong.
    """
    path = find_settings(folder or Path.cwd())
    table = _read_document(path).get("lint", {})
    if not isinstance(table, dict):
        raise UserError(f"{path}: lint is {_toml_type(table)}, expected a table")
    try:
        return Lint.model_validate(table)
    except ValidationError as error:
        raise UserError(_first_mistake(f"{path}: lint", error, [*_keys(Lint), *_keys(Allow)])) from error


def _read_document(path: Path | None) -> dict[str, Any]:
    document = _read_toml(path) if path is not None else {}
    for key in document:
        if key not in _TABLES:
            raise UserError(f"{path}: unknown key {key!r}, {nearest(key, _TABLES)}")
    return document


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}") from error


def _environment(path: Path | None, name: str, table: object) -> Environment:
    where = f"{path}: environments.{name}"
    if not isinstance(table, dict):
        raise UserError(f"{where} is {_toml_type(table)}, expected a table")
    if "name" in table:  # a field of ours, not of the file
        raise UserError(f"{where}.name: unknown key, {nearest('name', _keys(Environment))}")
    defaults = LOCAL_DEFAULTS if name == LOCAL else {}
    try:
        return Environment.model_validate({**defaults, **table, "name": name})
    except ValidationError as error:
        raise UserError(_first_mistake(where, error, _keys(Environment))) from error


def _local(path: Path | None, document: dict[str, Any]) -> Local:
    table = document.get("local", {})
    if not isinstance(table, dict):
        raise UserError(f"{path}: local is {_toml_type(table)}, expected a table")
    try:
        return Local.model_validate(table)
    except ValidationError as error:
        raise UserError(_first_mistake(f"{path}: local", error, _keys(Local))) from error


def _keys(model: type[BaseModel]) -> list[str]:
    return [key for key in model.model_fields if key != "name"]


def _first_mistake(where: str, error: ValidationError, keys: list[str]) -> str:
    mistakes = error.errors(include_url=False)
    # An unknown key first: it is often the cause of a missing one.
    first = min(mistakes, key=lambda mistake: mistake["type"] != "extra_forbidden")
    key = _path(first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys(Smtp) if first["loc"][:-1] == ("smtp",) else keys
        return f"{where}.{key}: unknown key, {nearest(str(first['loc'][-1]), known)}"
    if first["type"] == "missing":
        missing = [_path(mistake["loc"]) for mistake in mistakes if mistake["type"] == "missing"]
        return f"{where}: missing {', '.join(missing)}"
    message = first["msg"].removeprefix("Input ")
    return f"{where}.{key}: found {first['input']!r}, {message}"


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def _toml_type(value: object) -> str:
    names: dict[type, str] = {
        bool: "a boolean",
        int: "an integer",
        float: "a float",
        str: "a string",
        list: "an array",
    }
    return names.get(type(value), "a date or time")
