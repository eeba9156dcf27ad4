"""Values that are known at run time only: pipeline parameters, task outputs and KFP's placeholders."""

from typing import Any


def is_runtime(value: Any) -> bool:
    """Whether a value, or something in it, is filled in when the pipeline runs, so cannot be checked now.

    That is KFP's `PipelineChannel` (a parameter or a task's output; it is not imported here, for it takes
    seconds), text with one in it, and text with a placeholder such as `{{$.pipeline_job_name}}`.
    """
    if isinstance(value, str):
        return "{{" in value
    if isinstance(value, dict):
        return any(is_runtime(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple):
        return any(is_runtime(item) for item in value)
    return any(kind.__name__ == "PipelineChannel" for kind in type(value).__mro__)
