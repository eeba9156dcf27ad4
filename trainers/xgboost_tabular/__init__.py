"""Gradient-boosted trees for two classes: reads prepared Parquet, writes the model directory."""
