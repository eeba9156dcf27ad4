"""Training programs: each a package that runs as `python -m trainers.NAME` inside a training container."""
