"""Looks through compiled pipelines, whoever compiled them, for what Vertex AI would refuse or do by surprise.

A rule is a pure function of a pipeline's document to findings; one module holds one family of rules.
`check.py` runs them all.
"""
