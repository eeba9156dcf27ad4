"""What the fork server imports before it forks."""

import contextlib
import gc
import importlib
import importlib.metadata
import json
import logging
import sys
import tempfile
import threading
from pathlib import Path

_EXECUTOR = "kfp.dsl.executor_main"
_REHEARSED = "rehearsed_component"
_GCPC = "google_cloud_pipeline_components.container."

PROFILES = {
    # Commands that bring their own program.
    "host": (),
    # Lightweight components: kfp's executor under _KFP_RUNTIME=true, which leaves kfp's client and compiler
    # out.
    "component": (_EXECUTOR,),
    # Launchers of Google Cloud Pipeline Components, and components that use the Vertex AI SDK.
    "google": (
        "kfp",
        _EXECUTOR,
        "google.cloud.aiplatform",
        "google.cloud.storage",
        _GCPC + "preview.custom_job.remote_runner",
        _GCPC + "v1.aiplatform.remote_runner",
        _GCPC + "v1.automl_training_job.image.remote_runner",
        _GCPC + "v1.batch_prediction_job.remote_runner",
        _GCPC + "v1.bigquery.utils.bigquery_util",
        _GCPC + "v1.custom_job.remote_runner",
        _GCPC + "v1.dataproc.utils.dataproc_util",
        _GCPC + "v1.gcp_launcher.lro_remote_runner",
        _GCPC + "v1.hyperparameter_tuning_job.remote_runner",
    ),
}

# These sleep before they ask for the first time, so that no answer held back by the service can spare the
# sleep (google-cloud-pipeline-components 2.22.0). The other runners ask first and are left as they are.
_SLEEPERS = {
    _GCPC + "v1.bigquery.utils.bigquery_util": "_POLLING_INTERVAL_IN_SECONDS",
    _GCPC + "v1.dataproc.utils.dataproc_util": "_POLL_INTERVAL_SECONDS",
    _GCPC + "v1.gcp_launcher.lro_remote_runner": "_POLLING_INTERVAL_IN_SECONDS",
}
_POLL_SECONDS = 0.5

_NOT_FOR_IMPORT = {
    "test",
    "tests",
    "testing",
    "doc",
    "docs",
    "example",
    "examples",
    "benchmark",
    "benchmarks",
    "kfp",
}


def preload(modules: list[str], excluded: set[str]) -> str | None:
    """Imports modules and hides them from the garbage collector, so that children share their memory.

    Args:
        modules: Names; one that cannot be imported is left to the task that wants it.
        excluded: Names to leave out.

    Returns:
        The module that started a thread, when one did; those after it are not imported.
    """
    for name in modules:
        if name in sys.modules or name in excluded:
            continue
        with contextlib.suppress(BaseException):
            importlib.import_module(name)
        if _thread_count() > 1:
            return name
    for name, constant in _SLEEPERS.items():
        if name in sys.modules:
            setattr(sys.modules[name], constant, _POLL_SECONDS)
    if _EXECUTOR in modules and _EXECUTOR in sys.modules:
        _rehearse()
    gc.collect()
    gc.freeze()
    return None


def _rehearse() -> None:
    """Runs a component that does nothing, so that children find compiled patterns and other caches made."""
    arguments, path = sys.argv, list(sys.path)
    with contextlib.suppress(BaseException), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{_REHEARSED}.py"
        file.write_text(
            "from kfp import dsl\nfrom kfp.dsl import *\ndef rehearsed(a: str) -> str:\n    return a\n"
        )
        inputs = {"parameterValues": {"a": ""}}
        outputs = {"parameters": {"Output": {"outputFile": f"{folder}/a"}}, "outputFile": f"{folder}/output"}
        given = json.dumps({"inputs": inputs, "outputs": outputs})
        sys.argv = ["", "--component_module_path", str(file), "--executor_input", given]
        sys.argv += ["--function_to_execute", "rehearsed"]
        sys.modules[_EXECUTOR].executor_main()
    sys.argv, sys.path[:] = arguments, path
    sys.modules.pop(_REHEARSED, None)
    logging.root.handlers.clear()
    logging.root.setLevel(logging.WARNING)


def modules_of(distribution: str) -> list[str]:
    """The modules that a distribution is imported by: its shallowest packages and single files.

    Args:
        distribution: Its name, as in a requirement. One that is not installed has no modules.
    """
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = {file.parts[:-1] for file in files if file.name == "__init__.py"}
    found |= {(file.stem,) for file in files if len(file.parts) == 1 and file.suffix == ".py"}
    public = {name for name in found if name and not any(part.startswith("_") for part in name)}
    shallowest = [name for name in public if not any(name[:depth] in public for depth in range(1, len(name)))]
    return sorted(".".join(name) for name in shallowest if not _NOT_FOR_IMPORT & set(name))


def _thread_count() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:  # no /proc: those that Python knows
        return threading.active_count()
