"""The executor input: what a task is told of its inputs and of where its outputs go."""

from pathlib import Path
from typing import Any

from trainwright.local.engine.names import artifact_name, local_path, task_root
from trainwright.local.engine.outcomes import Artifact, Inputs
from trainwright.local.engine.pipeline_run import PipelineRun
from trainwright.local.engine.spec import Component


def executor_input(
    run: PipelineRun, key: str, path: str, component: Component, inputs: Inputs, storage: Path
) -> dict[str, Any]:
    """An ExecutorInput of pipeline_spec.proto as JSON.

    URIs stay gs://; files that the task writes itself (executor output, output parameters) are real paths
    below `storage`. All of them depend on the task's id alone, so that a task that runs again after a crash
    finds what it wrote (a launcher of google_cloud_pipeline_components resumes the job that its
    `gcp_resources` names).

    Args:
        run: The run.
        key: The task's key.
        path: The task's path in the run.
        component: What it runs.
        inputs: Its inputs.
        storage: The folder in which each bucket is a folder.
    """
    root = task_root(run, key, path)
    files = local_path(storage, root)
    return {
        "inputs": {
            "parameterValues": {
                name: value for name, value in inputs.parameters.items() if value is not None
            },
            "artifacts": {
                name: {"artifacts": [artifact.runtime() for artifact in artifacts]}
                for name, artifacts in inputs.artifacts.items()
            },
        },
        "outputs": {
            "parameters": {
                name: {"outputFile": str(files / "output_parameters" / name)}
                for name in component.output_parameters
            },
            "artifacts": {
                name: {"artifacts": [artifact.runtime()]}
                for name, artifact in output_artifacts(run, key, path, component).items()
            },
            "outputFile": str(files / "executor_output.json"),
        },
    }


def output_artifacts(run: PipelineRun, key: str, path: str, component: Component) -> dict[str, Artifact]:
    """The artifacts that a task is to make, before it runs: names, URIs and types are known already."""
    root = task_root(run, key, path)
    return {
        name: Artifact(
            name=artifact_name(run, path, name),
            uri=f"{root}/{name}",
            schema_title=definition.schema_title,
            schema_version=definition.schema_version,
            metadata=definition.metadata,
            display_name=name,
        )
        for name, definition in component.output_artifacts.items()
    }
