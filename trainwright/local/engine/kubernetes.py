"""The `platforms` document of kfp-kubernetes: what of it is no loss without a cluster.

Fields: kubernetes_platform/proto/kubernetes_executor_config.proto of kubeflow/pipelines (2026-08-21). Vertex
AI does not take such a document at all.
"""

from typing import Any

from trainwright.local.engine.fields import Field
from trainwright.local.engine.spec import SpecError

# They say where a pod is placed and how its image is pulled; a local process has neither.
_PLACEMENT = {
    *("nodeSelector", "nodeAffinity", "podAffinity", "tolerations"),
    *("imagePullSecret", "imagePullPolicy", "enabledSharedMemory"),
}
# Entries that are marked optional are left out by Kubernetes too when what they name does not exist, as none
# does here.
_OPTIONAL = {"secretAsEnv", "secretAsVolume", "configMapAsEnv", "configMapAsVolume"}


def check_platforms(document: Any) -> None:
    """Refuses what only Kubernetes can do.

    Args:
        document: The second YAML document of a compiled pipeline.

    Raises:
        SpecError: It asks for a secret, a volume, pod metadata or another thing that a local run would miss;
            names the field.
    """
    for platform, config in (
        Field(document, "").message({"platforms"}).get("platforms", Field({}, "")).entries().items()
    ):
        if platform != "kubernetes":
            raise SpecError(f"platforms.{platform}: unknown platform")
        entries = Field(config.value, "platforms.kubernetes").message(
            {"deploymentSpec", "platform"}, {"config", "pipelineConfig"}
        )
        deployment = entries.get("deploymentSpec", Field({}, "")).message({"executors"})
        for executor in deployment.get("executors", Field({}, "")).entries().values():
            for name, setting in executor.entries().items():
                _check(name, setting)


def _check(name: str, setting: Field) -> None:
    if name in _PLACEMENT:
        return
    if name in _OPTIONAL and all(
        item.entries().get("optional", item).value is True for item in setting.items()
    ):
        return
    raise SpecError(f"{setting.path}: only Kubernetes can do this; not supported by local Vertex AI")
