"""What an author writes that Vertex AI cannot do."""


class Impossible(ValueError):
    """Vertex AI has no such machine, container, worker pool or search space.

    The message is one line: what was found, what was expected, the nearest that can be.
    """
