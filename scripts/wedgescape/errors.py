"""What ends a job with a message alone: a fault in what the user gave, or being asked to end."""


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message names the place (a key of the config, a file), what was found there and what is allowed. It is shown
    as it stands, without a traceback.
    """


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """The job was asked to end, and did; the message says what it left behind."""
