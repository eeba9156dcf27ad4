"""The image and the pinned packages of our components: one place, equal to requirements.lock (tested)."""

PYTHON_IMAGE = "python:3.11-slim"
"""Slim Python image of every lightweight component: the Python version that the test suite runs on."""

AIPLATFORM = "google-cloud-aiplatform==1.165.1"
DUCKDB = "duckdb==2.0.0"
MATPLOTLIB = "matplotlib==3.11.2"
PANDAS = "pandas==3.1.1"
PIPELINE_COMPONENTS = "google-cloud-pipeline-components==2.22.0"
PYARROW = "pyarrow==26.0.1"
SCIKIT_LEARN = "scikit-learn==1.9.1"
STORAGE = "google-cloud-storage==3.17.1"
XGBOOST = "xgboost-cpu==3.2.0"
