"""Which official Google Cloud Pipeline Components ops a run cannot have here, said before it starts.

An op's container only hands work on: to a service of Google Cloud, or to a program in an image of Google's.
Where local Vertex AI has neither, the op would fail after everything before it had run.
(google-cloud-pipeline-components 2.22.0, 2025-11-10; all its v1 ops: docs/gcpc-ops.md.)
"""

from collections.abc import Callable, Sequence

from trainwright.local.engine.inputs import InputError
from trainwright.local.engine.notification import check_task, is_notification
from trainwright.local.engine.spec import Component, Container, Spec, SpecError

_PACKAGE = "google_cloud_pipeline_components.container."
_DATAPROC = "Dataproc Serverless has no local counterpart"
_DATAFLOW = "Dataflow has no local counterpart"
_BIGQUERY_ML = "BigQuery ML has no local counterpart"
# Vertex AI documentation, "Deprecations", as of 2026-04-10.
_TEXT = "AutoML Text was shut down on 2025-06-15; its replacement is prompting and tuning Gemini"
_VIDEO = "AutoML Video was shut down on 2025-07-31; its replacement is tuning Gemini on video"

# By the program that an op runs; a name that ends with a dot is that of all below it.
_PROGRAMS = {
    "v1.bigquery.": _BIGQUERY_ML,
    "v1.dataproc.": _DATAPROC,
    "v1.dataflow.": _DATAFLOW,
    "preview.dataflow.": _DATAFLOW,
    "v1.wait_gcp_resources.": f"it waits for Dataflow jobs alone, and {_DATAFLOW}",
}
_RUNS = ("v1.bigquery.query_job.",)
# By the class of the SDK that `v1.aiplatform.remote_runner` is told to use.
_CLASSES = {
    "AutoMLTextTrainingJob": _TEXT,
    "TextDataset": _TEXT,
    "AutoMLVideoTrainingJob": _VIDEO,
    "VideoDataset": _VIDEO,
    "AutoMLForecastingTrainingJob": "AutoML forecasting has no local counterpart",
}


def check_ops(spec: Spec, private_image: Callable[[str, Sequence[str]], str]) -> None:
    """Refuses a spec with an op whose work cannot be done here, or with a notification that is not valid.

    Args:
        spec: The spec.
        private_image: Names the image of Google's that a container and its words need and that cannot be had
            here; "" when there is none.

    Raises:
        SpecError: One line with the executor, the op and the reason.
    """
    for component in (spec.root, *spec.components.values()):
        executor = spec.executors.get(component.executor)
        if isinstance(executor, Container) and (reason := _reason(executor, private_image)):
            where = f"deploymentSpec.executors.{component.executor}.container"
            raise SpecError(f"{where}: {component.name.removeprefix('comp-')} cannot run here: {reason}")
        if component.dag is not None:
            _check_notifications(spec, component)


def reason_against(words: Sequence[str]) -> str:
    """Why a command of Google Cloud Pipeline Components cannot do its work here; "" when it can.

    Args:
        words: The command and its arguments.
    """
    program = next((word.removeprefix(_PACKAGE) for word in words if word.startswith(_PACKAGE)), "")
    if not program.startswith(_RUNS):
        for prefix, reason in _PROGRAMS.items():
            if program.startswith(prefix):
                return reason
    if program.startswith("v1.aiplatform.") and "--cls_name" in words[:-1]:
        return _CLASSES.get(words[list(words).index("--cls_name") + 1], "")
    return ""


def _reason(container: Container, private_image: Callable[[str, Sequence[str]], str]) -> str:
    words = (*container.command, *container.args)
    if reason := reason_against(words):
        return reason
    image = private_image(container.image, words)
    if not image:
        return ""
    return f"its program is in Google's image {image}, which takes access to it and --runtime docker"


def _check_notifications(spec: Spec, group: Component) -> None:
    for task in group.dag.tasks.values() if group.dag else ():
        executor = spec.executors.get(spec.components[task.component].executor)
        if isinstance(executor, Container) and is_notification(executor):
            try:
                check_task(task)
            except InputError as error:
                where = "root" if group is spec.root else f"components.{group.name}"
                raise SpecError(f"{where}.dag.tasks.{task.key}: {error}") from None
