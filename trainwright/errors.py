"""The two ways in which a command can fail, each with its own exit status."""


class UserError(Exception):
    """A user's mistake: one line that says where, what was found and what was expected. Exit status 2."""


class TaskFailed(Exception):
    """A run that did not succeed: task, exit code, last log lines and the log's path. Exit status 1."""
