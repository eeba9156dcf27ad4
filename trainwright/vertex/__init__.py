"""Submits pipelines, follows their runs: thin over `google.cloud.aiplatform`, alike for local and cloud."""
