"""Where Vertex AI Pipelines and open-source Kubeflow Pipelines run the same spec differently.

A run speaks Vertex AI's dialect unless its labels say otherwise. A label, because every client can set one
without being changed:

    aiplatform.PipelineJob(..., labels={"trainwright-dialect": "kfp"}).submit()

and so can an environment of `trainwright.toml`:

    [environments.local]
    labels = { trainwright-dialect = "kfp" }

| | `vertex` | `kfp` |
|---|---|---|
| final status of what succeeded | `SUCCEEDED` | `COMPLETE` |
| error in the final status | code and message | empty |
| `{{$.pipeline_job_name}}` | the job's id | the run's display name |
| `{{$.pipeline_job_resource_name}}` | `projects/…/pipelineJobs/ID` | PIPELINE-xxxxx, the workflow's name |
| `{{$.pipeline_job_uuid}}` | a number | a UUID |
| environment variables in the cache key | yes | no |
| limits of a step's machine | 96 vCPU, 624 GB | those of the cluster: none are checked |

Sources: of Vertex AI those that the modules name; of Kubeflow Pipelines backend/src/v2/driver/resolve.go and
backend/src/v2/cacheutils/cache.go of kubeflow/pipelines, 2026-08-21.
"""

from collections.abc import Mapping
from enum import StrEnum

LABEL = "trainwright-dialect"


class Dialect(StrEnum):
    """Whose behaviour a run asks for."""

    VERTEX = "vertex"
    KFP = "kfp"


def dialect_of(labels: Mapping[str, str]) -> Dialect:
    """The dialect that a run's labels ask for.

    Raises:
        ValueError: The label has another value than `vertex` or `kfp`.
    """
    found = labels.get(LABEL, Dialect.VERTEX)
    try:
        return Dialect(found)
    except ValueError:
        raise ValueError(f"label {LABEL}: found {found!r}, expected vertex or kfp") from None
