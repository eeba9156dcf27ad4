"""The engine: interprets compiled pipelines (PipelineSpec 2.1) as Vertex AI Pipelines does."""

from trainwright.local.engine.engine import Engine
from trainwright.local.engine.pipeline_run import PipelineRun

__all__ = ["Engine", "PipelineRun"]
