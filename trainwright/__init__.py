"""Kubeflow Pipelines components for Vertex AI Pipelines, and a local Vertex AI that runs the same YAML."""

__version__ = "0.1.0"
