"""CLUSTER_SPEC as Vertex AI writes it, and what it must not be."""

import json

import pytest

from trainwright.trainers.cluster import Cluster, read_cluster
from trainwright.trainers.runtime import UserError

POOLS = {"workerpool0": ["chief:2222"], "workerpool1": ["one:2223", "two:2224"], "workerpool2": ["ps:2225"]}


def spec(pool: str, index: int, pools: dict = POOLS) -> dict[str, str]:
    described = {"cluster": pools, "environment": "cloud", "task": {"type": pool, "index": index}}
    return {"CLUSTER_SPEC": json.dumps(described)}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Cluster()),
        (spec("workerpool0", 0, {"workerpool0": ["chief:2222"]}), Cluster(0, 1, "chief", 2222)),
        (spec("workerpool0", 0), Cluster(0, 3, "chief", 2222)),
        (spec("workerpool1", 0), Cluster(1, 3, "chief", 2222)),
        (spec("workerpool1", 1), Cluster(2, 3, "chief", 2222)),
    ],
)
def test_ranks(environment: dict, expected: Cluster) -> None:
    assert read_cluster(environment) == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CLUSTER_SPEC": "{"}, "CLUSTER_SPEC: not a cluster specification"),
        (spec("workerpool0", 0, {}), "CLUSTER_SPEC: not a cluster specification"),
        (spec("workerpool2", 0), "this replica is in workerpool2; expected workerpool0 or workerpool1"),
        (spec("workerpool1", 2), "workerpool1 has no replica 2"),
    ],
)
def test_what_is_no_cluster_is_said(environment: dict, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        read_cluster(environment)
