"""Random streams: all randomness of a study is a function of what it is for."""

import zlib

import numpy as np


def stream(purpose: str, *key: int) -> np.random.Generator:
    """Return the random stream that belongs to a purpose and a key of up to three whole numbers.

    Randomness is a function of what it is for (say "order", seed 7, epoch 3) and never of what was drawn before: a
    seed gives the same numbers alone, among others, in another job or after a restart, and no state needs keeping.
    Counter-based (Philox), so that streams neither overlap nor collide.
    """
    counter = [0, *(int(number) for number in key), *[0] * (3 - len(key))]
    return np.random.Generator(np.random.Philox(key=zlib.crc32(purpose.encode()), counter=counter))
