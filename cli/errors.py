class CommandError(Exception):
    """A command cannot go on. Its message, which says why and what to do, is all that the user sees."""
