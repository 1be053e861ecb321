"""How networks are computed: the one place where device and model decide about speed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from wedgescape.errors import InputError
from wedgescape.landscapes import models
from wedgescape.landscapes.linear_stacks import LinearStack
from wedgescape.landscapes.tasks import Task

CACHED_EXAMPLES = 256  # that go through linear layers at once on a CPU
CACHED_NUMBERS = 2**17  # activations of such a layer that stay in its cache
GRAPH_BYTES = 2**29  # of graphs that may stay in memory while a Hessian is asked for products
VECTORS = 8  # that a Hessian is multiplied with at once, at most


@dataclass(frozen=True)
class Strategy:
    """How K weight vectors are computed.

    Args:
        stack: the layers of a network of linear layers, whose products are written out; None for any other.
        train_together: gradients of K points as one batched computation, or one point after another.
        evaluate_together: the same for losses.
        points: how many points are computed together at most.
        examples: how many examples are evaluated at once.
        memory_format: of images.
        differentiated: how many examples are differentiated at once for products with a Hessian.
        products: how many pairs of an example and a vector are in such a product at once.
        held: how many bytes the training split may take in memory, differentiated once, while a Hessian is asked for
            products one at a time; where it takes more, it is differentiated for every call, in chunks.
        rewritten: whether loops over points call the network as `convolutions.rewrite` returns it.
    """

    stack: LinearStack | None
    train_together: bool
    evaluate_together: bool
    points: int
    examples: int
    memory_format: torch.memory_format
    differentiated: int
    products: int
    held: int = GRAPH_BYTES
    rewritten: bool = False


PLAIN = Strategy(None, False, False, 1, 1024, torch.contiguous_format, differentiated=1024, products=1024, held=0)


def choose_strategy(device: torch.device, module: torch.nn.Module, task: Task = Task()) -> Strategy:
    """Return what was measured to be fast.

    Under the plain cross-entropy, linear layers have their products written out everywhere. On a CPU, what goes through
    them at once fits the cache. There, batched convolutions take 2 to 4 times as long as a loop, and evaluation wants
    activations that stay in the cache, hence a loop over points inside chunks of examples. A GPU wants everything
    together. Hessian-vector products of other networks are one after another everywhere: `vmap` over 32 of them took
    1.1 to 1.7 times as long at widths of 64 and more, and 0.7 times at 16. What pays is to keep the graph of the
    gradient between calls: 2.0 instead of 5.5 ms a product at width 64 on the digits.

    Where products of linear layers are written out, they want activations of one vector, or of two, that fill the
    cache: 1.7 ms a vector with all 1,437 digits at once at width 64, and 2.5 ms in chunks of 256; 0.4 and 1.1 ms at
    width 16.

    simple_cnn on 28 x 28 pixels evaluates an example in 83, 75 and 69 microseconds in chunks of 125, 250 and 500, and
    smaller chunks are slower still. Chunks of 250 keep a tensor of activations below the 32 MB from which the C library
    returns memory to the system after every use, also at twice the width.
    """
    sizes, convolutional = models.linear_sizes(module), models.is_convolutional(module)
    stack = LinearStack(sizes) if sizes and task.plain else None
    if device.type != "cpu":
        points, kept = 32 if convolutional else 128, {"differentiated": 2048, "products": 2048 * VECTORS}
        return Strategy(stack, True, True, points, 2048, torch.contiguous_format, **kept)
    if stack:
        points = max(1, CACHED_NUMBERS // (CACHED_EXAMPLES * stack.widest))
        most = max(CACHED_EXAMPLES, CACHED_NUMBERS // stack.widest)
        kept = {"differentiated": most, "products": 2 * most}
        return Strategy(stack, True, True, points, CACHED_EXAMPLES, torch.contiguous_format, **kept)
    if convolutional:
        kept = {"differentiated": 250, "products": 250}
        return Strategy(None, False, False, 1, 250, torch.channels_last, **kept, rewritten=True)
    return Strategy(None, True, False, 32, 1024, torch.contiguous_format, differentiated=1024, products=1024)


def choose_device(setting: str) -> torch.device:
    """Return the device that a config's `device` stands for; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        InputError: if the device asked for is not there.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if setting == "auto":
        return torch.device(next(name for name, there in present.items() if there))
    if not present[setting]:
        usable = ", ".join(name for name, there in present.items() if there)
        raise InputError(f"device: {setting} is not available on this machine; allowed here: auto, {usable}")
    return torch.device(setting)
