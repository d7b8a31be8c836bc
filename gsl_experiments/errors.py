"""The one exception that a user is meant to see: its message is a single line, printed without a traceback."""


class UserError(ValueError):
    """What the user asked for cannot be done: the message names it, says why, and what to do."""
