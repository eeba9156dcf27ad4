"""Compiles pipelines and components to YAML, deterministically, and reads what was compiled."""
