"""The one error that a user's input can cause."""


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message names the place (a key of the config, a file), what was found there and what is allowed. It is shown
    as it stands, without a traceback.
    """
