from projects import *  # noqa: F403 - gone when nothing imports from here
