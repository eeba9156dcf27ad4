"""Rules of places: project, region, bucket and account come from the environment, not from the YAML."""

import re
from collections.abc import Iterator

from trainwright.authoring.runtime import is_runtime
from trainwright.compiling.lint.findings import Finding, Rule
from trainwright.compiling.lint.subject import Subject, texts

LOCATION = Rule(
    "location-fixed",
    "warning",
    "A task's region is the run's",
    "58 of the official components default to us-central1 instead of the run's region"
    " (google-cloud-pipeline-components 2.22): a run in Europe then trains or stores in America, without a"
    " word (kubeflow/pipelines#11283).",
    "Give `location=LOCATION_PLACEHOLDER` of google_cloud_pipeline_components, which is the run's own"
    " region, or a parameter of the pipeline.",
)
PROJECT = Rule(
    "project-fixed",
    "warning",
    "No project stands in the YAML",
    "What is compiled for one project cannot be promoted to another: it would have to be compiled anew,"
    " and so be other than what was tested.",
    "Give `project=PROJECT_ID_PLACEHOLDER`, or a parameter of the pipeline without default.",
)
BUCKET = Rule(
    "bucket-fixed",
    "warning",
    "No bucket stands in the YAML",
    "Runs of another environment would read from and write to this one's bucket.",
    "Use artifacts, whose place is the run's pipeline root, or a parameter of the pipeline without default.",
)
ACCOUNT = Rule(
    "account-fixed",
    "warning",
    "No service account stands in the YAML",
    "Runs of another environment would act as this one's account, or fail to.",
    "Give `service_account=SERVICE_ACCOUNT_PLACEHOLDER`, which is the run's own.",
)
RULES = (LOCATION, PROJECT, BUCKET, ACCOUNT)

# Bounded, and from the beginning of a word: else a long text without @ takes its square.
_ACCOUNT = re.compile(r"(?<![a-z0-9-])[a-z0-9-]{1,63}@[a-z0-9.-]{1,200}\.gserviceaccount\.com")
_BUCKET = re.compile(r"(?:gs://|/gcs/)([a-z0-9][-_.a-z0-9]*)")
_RESOURCE = re.compile(r"projects/([a-z0-9][-a-z0-9:.]*)/")
_PROJECT_NAMES = ("project", "project_id", "gcp_project", "gcp_project_id")
_LOCATION_NAMES = ("location", "region", "gcp_region", "gcp_location", "data_location")
# Of Google, public, the same everywhere.
_PUBLIC_BUCKETS = re.compile(
    r"cloud-samples-data|ml-pipeline|google-cloud-aiplatform|gcp-public-data|public-datasets"
)


def check(subject: Subject) -> Iterator[Finding]:
    """Checks what is written into the pipeline."""
    yield from _locations(subject)
    yield from _executors(subject)
    root = subject.spec.get("defaultPipelineRoot")
    if isinstance(root, str) and root.startswith("gs://"):
        yield BUCKET.found(f"defaultPipelineRoot {root!r}, expected none", ("defaultPipelineRoot",))
    for name, value, location, task in subject.constants():
        path = task.path if task is not None else ""
        of = f"{name} " if task is not None else f"default of {name} "
        if name in _PROJECT_NAMES and isinstance(value, str) and value and not is_runtime(value):
            yield PROJECT.found(f"{of}{value!r}, expected the run's project", location, task=path)
        if (
            task is None
            and name in _LOCATION_NAMES
            and isinstance(value, str)
            and value
            and not is_runtime(value)
        ):
            yield LOCATION.found(f"{of}{value!r}, expected no default", location)
        yield from _written(of, list(texts(value)), location, path)


def _executors(subject: Subject) -> Iterator[Finding]:
    """What stands in arguments, variables and importers; a program's source is not looked into."""
    for task in subject.tasks:
        if task.executor is None:
            continue
        container = (*task.executor_location, "container")
        arguments = [text for text in task.container.get("args") or [] if isinstance(text, str)]
        yield from _written("an argument ", arguments, (*container, "args"), task.path)
        variables = [str(each.get("value", "")) for each in task.container.get("env") or []]
        yield from _written("a variable ", variables, (*container, "env"), task.path)
        uri = list(texts((task.executor.get("importer") or {}).get("artifactUri")))
        yield from _written("the importer ", uri, (*task.executor_location, "importer"), task.path)


def _written(of: str, values: list[str], location: tuple[str, ...], task: str) -> Iterator[Finding]:
    text = "\n".join(values)
    buckets = [name for name in _BUCKET.findall(text) if not _PUBLIC_BUCKETS.match(name)]
    if buckets:
        yield BUCKET.found(f"{of}names the bucket {buckets[0]!r}", location, task=task)
    account = _ACCOUNT.search(text)
    if account is not None:
        yield ACCOUNT.found(f"{of}names the account {account[0]!r}", location, task=task)
    resource = _RESOURCE.search(text)
    if resource is not None and not account:
        yield PROJECT.found(f"{of}names the project {resource[1]!r}", location, task=task)


def _locations(subject: Subject) -> Iterator[Finding]:
    for task in subject.tasks:
        value = task.inputs.get("location")
        if task.is_group or not isinstance(value, str) or not value or is_runtime(value):
            continue
        origin = task.origins["location"]
        if origin in ("constant", "default"):
            how = "by the component's default" if origin == "default" else "by a constant"
            given = (*task.location, "inputs", "parameters", "location")
            yield LOCATION.found(f"location {value!r} {how}, expected the run's", given, task=task.path)
