"""Models to model servers: for deployed models and for batch predictions.

`Deployments` and `BatchPredictions` are the room's doors; the other names are what they take, give and raise.
"""

from trainwright.local.serving.batch_predictions import BATCH_SIZE, BatchPrediction, BatchPredictions
from trainwright.local.serving.containers import Served
from trainwright.local.serving.deployments import Deployments
from trainwright.local.serving.instances import FORMATS, InstanceConfig
from trainwright.local.serving.model_server import Reply, ServerFailed

__all__ = [
    "BATCH_SIZE",
    "FORMATS",
    "BatchPrediction",
    "BatchPredictions",
    "Deployments",
    "InstanceConfig",
    "Reply",
    "Served",
    "ServerFailed",
]
