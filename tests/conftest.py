import os

from hypothesis import settings

# CI draws the same examples every time, so that a change is judged by what it changed.
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")
