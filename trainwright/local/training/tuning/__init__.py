"""The study engine: pure functions from a study's spec and its trials to suggestions and stop decisions."""
