"""The landscape of a network on a dataset, over flat weight vectors."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property

import torch
import xarray as xr
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from wedgescape.errors import InputError
from wedgescape.landscapes import convolutions, models, trials
from wedgescape.landscapes.base import Batch, Landscape
from wedgescape.landscapes.linear_stacks import LinearStack
from wedgescape.landscapes.strategies import PLAIN, VECTORS, Strategy, choose_device, choose_strategy
from wedgescape.landscapes.tasks import LOSSES, Task, TokenShape, examples_of, outputs_of, shape_of, task_of
from wedgescape.numerics.randomness import stream
from wedgescape.study.losses import PLAIN as PLAIN_LOSS

log = logging.getLogger("wedgescape")
torch.backends.mha.set_fastpath_enabled(False)  # it passes a transformer layer's dropouts by, and knows no `vmap`

CALIBRATION_EXAMPLES = 512
MEASURED = 16  # examples that are differentiated to see how much memory they take


class NetworkLandscape(Landscape):
    """Mean loss of a network over a split, as a function of its flat weights (P,); cross-entropy (nats) by default.

    The flat vector holds the parameters in the order of `module.parameters()`. Where the network has batch norm, the
    statistics of each weight vector are recomputed on one fixed random set of 512 training examples before it
    is evaluated, the same set for all vectors; stochastic gradients use the statistics of their minibatch.

    Args:
        module: a network from `models.build`.
        splits: split name -> (inputs (N, ...), such as images (N, C, H, W) normalised float32; labels (N, ...)).
        device: where to compute.
        strategy: how; by default what is fast. `PLAIN` computes one point after another.
        task: the loss and the score; labels (N,) of the cross-entropy are int64.
    """

    trains_with_noise: bool = False  # of layers that draw random numbers in training, beside `nn.Dropout`

    def __init__(
        self,
        module,
        splits: dict[str, tuple[Tensor, Tensor]],
        device: torch.device | None = None,
        strategy: Strategy | None = None,
        task: Task = Task(),
    ):
        self.device = device or torch.device("cpu")
        self.module = module.to(self.device)
        self.task, self.score, self.unit = task, task.score, task.unit
        self.strategy = strategy or choose_strategy(self.device, module, task)
        self._rewritten = convolutions.rewrite(self.module)
        self.splits = {
            name: (self._arranged(images.to(self.device)), labels.to(self.device))
            for name, (images, labels) in splits.items()
        }
        self.names = [name for name, _ in module.named_parameters()]
        self.shapes = [parameter.shape for parameter in module.parameters()]
        self.sizes = [parameter.numel() for parameter in module.parameters()]
        self.dim = sum(self.sizes)
        self.examples = len(self.splits["train"][1])
        self._dropouts = models.dropouts(module)
        self._norms = models.batch_norms(module)
        count = min(CALIBRATION_EXAMPLES, self.examples)
        chosen = stream("calibration").permutation(self.examples)[:count]
        self._calibration = self.splits["train"][0][torch.from_numpy(chosen).to(self.device)]

    @property
    @torch.no_grad()
    def outputs(self) -> int:
        """How many outputs the network has."""
        return self._predict(models.flat(self.module)[None], self.splits["train"][0][:1]).shape[1]

    @property
    def classes(self) -> int:
        """How many classes the network tells apart; 0 where its labels are no classes."""
        return self.outputs if self.task.of_classes else 0

    @cached_property
    @torch.no_grad()
    def chance_loss(self) -> float:
        """The training loss of outputs that are all zero: ln(classes) for the cross-entropy, 1 for mse."""
        outputs = self.outputs
        if self.task.name == "mse":
            return self.task.spreads["train"]
        if self.task.name == "cross_entropy":
            return math.log(outputs)
        labels = self.splits["train"][1]
        zeros = torch.zeros(len(labels), outputs, device=self.device)
        return float(self.task.losses(zeros, labels).double().mean())

    def of_model(self, model: dict) -> NetworkLandscape:
        """Return the landscape of another model, as `models.build` takes it, on the same data."""
        inputs = self.splits["train"][0]
        shape = (tuple if inputs.is_floating_point() else TokenShape)(inputs.shape[1:])
        module = models.build(model, shape, self.outputs)
        return NetworkLandscape._of_built(module, model, self.splits, self.device, self.strategy is PLAIN, self.task)

    @classmethod
    def _of_built(
        cls, module, model: dict, splits: dict, device: torch.device, plain: bool, task: Task
    ) -> NetworkLandscape:
        """Return the landscape of a network that `models.build` has made; one of the user's own is tried first."""
        if not model.get("file") and task.name in LOSSES:
            return cls(module, splits, device, PLAIN if plain else None, task)
        place = f"model.file: {model['file']}: {model['name']}" if model.get("file") else f"loss: {task.name}"
        try:
            few = splits["train"][0][: trials.TRIED].cpu()
            trials.check_evaluation(module, few)
            noisy = trials.noisy_layer(module, few)
            strategy = PLAIN if plain else cls.tried(module, splits, device, task)
        except InputError as error:
            raise InputError(f"{place}: {error}") from error
        landscape = cls(module, splits, device, strategy, task)
        if noisy:
            log.info("%s draws noise in training: for each seed from its own stream, one seed after another", noisy)
            landscape.trains_with_noise = True
        return landscape

    @classmethod
    def tried(cls, module, splits: dict, device: torch.device, task: Task = Task()) -> Strategy:
        """Return the fastest strategy for a user's network that computes, on a few examples, what the plain one does.

        Args:
            module: from `models.prepared`.
            splits: as for a landscape.
            device: where to compute.
            task: the loss.

        Raises:
            InputError: if the network cannot be differentiated.
        """
        few = {"train": tuple(part[: trials.TRIED] for part in splits["train"])}
        weights = models.flat(module).nan_to_num(0, 0, 0).to(device)
        points = torch.stack([weights, 0.9 * weights])
        examples = torch.arange(len(few["train"][1]), device=device).expand(2, -1)
        batch = Batch(examples, [], torch.zeros(2))

        def values(strategy: Strategy) -> list[Tensor]:
            one = cls(copy.deepcopy(module), few, device, strategy, task)
            return [one.losses(points), one.gradients(points), one.gradients(points, batch)]

        def product(strategy: Strategy) -> list[Tensor]:
            return [cls(copy.deepcopy(module), few, device, strategy, task).hvp(weights, weights[None])]

        try:
            wanted, ways = values(PLAIN), [values]
        except Exception as error:  # a user's layers raise many kinds
            text = f"{type(module).__name__} cannot be differentiated with respect to its weights"
            raise InputError(f"{text}: {type(error).__name__}: {error}") from error
        try:
            wanted, ways = [*wanted, *product(PLAIN)], [values, product]
        except Exception as error:
            log.warning("The network has no Hessian-vector products (%s: %s)", type(error).__name__, error)
        fast = choose_strategy(device, module, task)
        contiguous = replace(fast, memory_format=torch.contiguous_format, rewritten=False)
        # channels_last is a format of images.
        for strategy in [fast, contiguous] if few["train"][0].ndim == 4 and fast != contiguous else [contiguous]:
            try:
                found = [value for way in ways for value in way(strategy)]
            except Exception as error:
                log.info("One network after another is computed, since together they cannot be (%s)", error)
                continue
            if all(map(trials.agree, found, wanted)):
                return strategy
            log.info("One network after another is computed, since together they come out differently")
        return PLAIN

    def of_first(self, examples: int, split: str = "train") -> NetworkLandscape:
        """Return the landscape whose training loss is the mean over the first examples of a split alone.

        Batch norms take their statistics from the same training examples as before.
        """
        few = copy.copy(self)
        few.splits = self.splits | {"train": tuple(part[:examples] for part in self.splits[split])}
        few.examples = len(few.splits["train"][1])
        return few

    def in_training(self) -> NetworkLandscape:
        """Return this landscape with the noise that the network's layers draw in training; itself where they do not.

        The numbers come from the stream of each point's seed, and one point is computed after another.
        """
        if not self.trains_with_noise:
            return self
        noisy = copy.copy(self)
        noisy.noise = "layers"
        noisy.strategy = replace(self.strategy, stack=None, train_together=False, rewritten=False)
        return noisy

    @contextmanager
    def _drawing(self, draws) -> Iterator[None]:
        """Put the network into training mode, and draw its noise from a stream."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(int(draws.integers(2**63)))
            self.module.train()
            try:
                yield
            finally:
                self.module.eval()

    def unpacked(self, point: Tensor) -> tuple[Tensor, ...]:
        """Return a point (P,) as one view a parameter, in their order."""
        return tuple(part[0] for part in self._unpack(point[None]))

    @torch.no_grad()
    def batch_norm_moments(self, point: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Return name of each batch norm -> its mean and variance (1, C, …) on the calibration set at a point (P,)."""
        names = [name for name, layer in self.module.named_modules() if layer in self._norms]
        return dict(zip(names, self._moments(self.unpacked(point)), strict=True))

    # One network at one weight vector. Under `vmap` the same lines compute K of them.

    def _unpack(self, points: Tensor) -> tuple[Tensor, ...]:
        """(K, P) -> one view (K, *shape) a parameter."""
        parts = points.split(self.sizes, dim=1)
        pairs = zip(parts, self.shapes, strict=True)
        return tuple(part.unflatten(1, shape) if shape else part[:, 0] for part, shape in pairs)

    def _arranged(self, images: Tensor) -> Tensor:
        """Return images in the strategy's memory format; `vmap` supports the contiguous one alone."""
        return images.to(memory_format=self.strategy.memory_format if self._looping else torch.contiguous_format)

    @property
    def _looping(self) -> bool:
        return not (self.strategy.train_together or self.strategy.evaluate_together)

    @property
    def _native(self) -> bool:
        """Whether the network is called outside of `vmap` and may use what `vmap` does not support."""
        return self.strategy.rewritten and self._looping

    def _call(self, parameters: tuple[Tensor, ...], images: Tensor) -> Tensor:
        module = self._rewritten if self._native else self.module
        return functional_call(module, dict(zip(self.names, parameters, strict=True)), (images,))

    def _noisy_loss(self, parameters, images: Tensor, labels: Tensor, masks: tuple[Tensor, ...]) -> Tensor:
        """The loss of a minibatch, with its own batch-norm statistics and dropout masks."""
        for layer, mask in zip(self._dropouts, masks or [None] * len(self._dropouts), strict=True):
            layer.mask = mask
        for norm in self._norms:
            norm.frozen, norm.native = False, self._native
        try:
            return self.task.mean(self._call(parameters, images), labels)
        finally:
            for layer in self._dropouts:
                layer.mask = None

    def _moments(self, parameters) -> list[tuple[Tensor, Tensor]]:
        """The statistics of each batch norm on the calibration set."""
        if self._norms:
            for norm in self._norms:
                norm.frozen, norm.native = False, self._native and not torch.is_grad_enabled()
            self._call(parameters, self._arranged(self._calibration))
        return [norm.moments for norm in self._norms]

    def _logits(self, parameters, images: Tensor, moments: list[tuple[Tensor, Tensor]] | None = None) -> Tensor:
        """The logits (N, classes) of a noiseless network, batch norms calibrated first unless moments are given."""
        moments = self._moments(parameters) if moments is None else moments
        for norm, known in zip(self._norms, moments, strict=True):
            norm.frozen, norm.moments, norm.native = True, known, self._native
        return self._call(parameters, images)

    # Many points.

    def _predict(self, points: Tensor, images: Tensor, moments: list | None = None) -> Tensor:
        """Return logits (K, classes, N); for a loop over points, memory stays that of one network's chunk.

        The moments are those of each point (`_moments`). A loop needs them once per point, not once per chunk.
        """
        if self.strategy.stack:
            return self.strategy.stack.logits(points, images.flatten(1).T)
        parameters, images = self._unpack(points), self._arranged(images)
        if self.strategy.evaluate_together:
            return vmap(self._logits, in_dims=(0, None))(parameters, images).mT
        known = moments or [None] * len(points)
        each = range(len(points))
        return torch.stack([self._logits([part[k] for part in parameters], images, known[k]).T for k in each])

    def _some(self, count: int, examples: int | None = None) -> list[slice]:
        """Slices of points that are computed together; of linear layers, as many as fit the cache on some examples."""
        step = self.strategy.points
        if self.strategy.stack and examples:
            step = max(1, step * self.strategy.examples // examples)
        return [slice(first, min(first + step, count)) for first in range(0, count, step)]

    def _parts(self, count: int, step: int | None = None) -> list[slice]:
        """Slices of examples that are computed at once."""
        step = step or self.strategy.examples
        return [slice(first, min(first + step, count)) for first in range(0, count, step)]

    def _chunks(self, points: Tensor, split: str) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield (which points, which examples, logits (K, classes, N)) over all points and a split."""
        images = self.splits[split][0]
        for some in self._some(len(points)):
            moments = None
            if not self.strategy.evaluate_together:
                parameters = self._unpack(points[some])
                moments = [self._moments([part[k] for part in parameters]) for k in range(len(points[some]))]
            for part in self._parts(len(images)):
                yield some, part, self._predict(points[some], images[part], moments)

    @torch.no_grad()
    def evaluate(self, points: Tensor, split: str = "train") -> dict[str, Tensor]:
        """Return `loss` (K,) and `score` (K,), nan where the loss is, over a whole split."""
        points = points.to(self.device)
        return self._scored(len(points), split, self._chunks(points, split))

    @torch.no_grad()
    def evaluate_combinations(self, vectors: Tensor, shares: Tensor, split: str = "train") -> dict[str, Tensor]:
        """See `Landscape.evaluate_combinations`."""
        stack, images = self.strategy.stack, self.splits[split][0]
        if not stack or len(vectors) >= len(shares):
            return super().evaluate_combinations(vectors, shares, split)
        vectors, shares = vectors.to(self.device), shares.to(self.device)

        def chunks() -> Iterator[tuple[slice, slice, Tensor]]:
            for part in self._parts(len(images)):
                logits = stack.combined(vectors, images[part].flatten(1).T)
                for some in self._some(len(shares)):
                    yield some, part, logits(shares[some])

        return self._scored(len(shares), split, chunks())

    def _scored(self, count: int, split: str, chunks: Iterable[tuple[slice, slice, Tensor]]) -> dict[str, Tensor]:
        """Return what `evaluate` does, from (which points, which examples, logits (K, classes, N))."""
        labels = self.splits[split][1]
        exact = torch.float64 if self.device.type != "mps" else torch.float32
        loss = torch.zeros(count, dtype=exact, device=self.device)
        correct = torch.zeros_like(loss)
        for some, part, logits in chunks:
            losses, right = self.task.of_many(logits, labels[part])
            loss[some] += losses.to(exact).sum(1)
            correct[some] += 0 if right is None else right.sum(1)
        score = correct / len(labels) if self.score == "accuracy" else 1 - loss / len(labels) / self.task.spreads[split]
        loss = (loss / len(labels)).float()
        return {"loss": loss, "score": torch.where(loss.isnan(), loss, score.float())}

    def losses(self, points: Tensor, split: str = "train") -> Tensor:
        """See `Landscape.losses`."""
        return self.evaluate(points, split)["loss"]

    @torch.no_grad()
    def on_examples(self, points: Tensor, split: str = "test") -> dict[str, Tensor]:
        """Return `log_probability` of each example's label, nats, and whether it is predicted, `correct`: (K, N).

        Where labels are no classes, nothing.
        """
        if not self.task.of_classes:
            return {}
        points, labels = points.to(self.device), self.splits[split][1]
        log_probability = torch.zeros(len(points), len(labels), device=self.device)
        correct = torch.zeros(log_probability.shape, dtype=torch.bool, device=self.device)
        for some, part, logits in self._chunks(points, split):
            target = labels[part].expand(len(logits), -1)
            log_probability[some, part] = logits.log_softmax(1).gather(1, target[:, None])[:, 0]
            correct[some, part] = logits.max(1).indices == target
        return {"log_probability": log_probability, "correct": correct & ~log_probability.isnan()}

    def predictions(self, points: Tensor, split: str = "test") -> Tensor:
        """Return the predicted probabilities (K, N, classes).

        Raises:
            InputError: if the labels are no classes.
        """
        if not self.task.of_classes:
            raise InputError(f"this measurement compares probabilities of classes, which loss {self.task.name} has not")
        return self._gathered(points, split, lambda logits: logits.softmax(1))

    def logits(self, points: Tensor, split: str = "test") -> Tensor:
        """Return the outputs (K, N, classes), before any softmax."""
        return self._gathered(points, split, lambda logits: logits)

    @torch.no_grad()
    def _gathered(self, points: Tensor, split: str, of: Callable[[Tensor], Tensor]) -> Tensor:
        """Return a function of the logits (K, classes, N) of all points and examples: (K, N, classes)."""
        points = points.to(self.device)
        parts: dict[int, list[Tensor]] = {}
        for some, _part, logits in self._chunks(points, split):
            parts.setdefault(some.start, []).append(of(logits).mT)
        return torch.cat([torch.cat(chunks, 1) for chunks in parts.values()])

    def over_inputs(self, point: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the network at a point (P,) as a map from inputs (N, ...) to outputs (N, O), which has derivatives."""
        parameters = self.unpacked(point.detach())
        with torch.no_grad():
            moments = self._moments(parameters)
        return lambda inputs: self._logits(parameters, self._arranged(inputs), moments)

    def example_gradients(self, point: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the gradients (N, P) of the loss of each training example at a point (P,).

        Without dropout, with calibrated batch norms. Their mean is the gradient of the training loss.

        Args:
            point: (P,).
            labels: (N, …), in place of those of the examples.
        """
        rows: list[Tensor] = []
        labels = self.splits["train"][1] if labels is None else labels
        for part, (leaf, outputs) in zip(self._parts(self.examples), self.differentiable_logits(point), strict=True):
            losses = self.task.losses(outputs, labels[part])
            rows += [torch.autograd.grad(one, leaf, retain_graph=True)[0] for one in losses]
        return torch.stack(rows)

    def tangent_kernel(self, point: Tensor, examples: int) -> Tensor:
        """Return the empirical neural tangent kernel (N C, N C) at a point (P,) (Jacot, Gabriel & Hongler 2018).

        The inner products of the gradients of all outputs, of the first N training examples and C outputs.
        """
        leaves = [one[0].requires_grad_() for one in self._unpack(point.detach()[None])]
        logits = self._logits(leaves, self._arranged(self.splits["train"][0][:examples]))
        rows, options = torch.eye(logits.shape[1]).to(logits), {"retain_graph": True, "materialize_grads": True}
        parts = []
        for one in logits:  # all classes of an example at once, where `vmap` knows the layers
            if self.strategy.train_together:
                slopes = [torch.autograd.grad(one, leaves, rows, is_grads_batched=True, **options)]
            else:
                slopes = [[slope[None] for slope in torch.autograd.grad(one, leaves, row, **options)] for row in rows]
            parts += [self._flatten(part) for part in slopes]
        jacobian = torch.cat(parts)
        return jacobian @ jacobian.T

    def gradients(self, points: Tensor, batch: Batch | None = None) -> Tensor:
        """See `Landscape.gradients`; in full (no batch) without dropout and with calibrated batch norms."""
        if batch is None:
            return self._full_gradients(points)
        images, labels = self.splits["train"]
        masks = self._masks(batch)
        if self.strategy.train_together:
            found = torch.empty_like(points)
            for some in self._some(len(points), batch.examples.shape[1]):
                chosen, own = batch.examples[some], tuple(mask[some] for mask in masks)
                self._batched_gradients(points[some], images[chosen], labels[chosen], own, found[some])
            return found
        rows = []
        for k, chosen in enumerate(batch.examples):
            leaves = self._leaves(points[k : k + 1])
            with self._drawing(batch.streams[k]) if self.noise else nullcontext():
                loss = self._noisy_loss(
                    [leaf[0] for leaf in leaves],
                    self._arranged(images[chosen]),
                    labels[chosen],
                    tuple(mask[k] for mask in masks),
                )
                slopes = torch.autograd.grad(loss, leaves, materialize_grads=True)  # which may run layers once more
            rows.append(self._flatten(slopes))
        return torch.cat(rows)

    def _batched_gradients(self, points, images, labels, masks, found: Tensor) -> None:
        if self.strategy.stack:
            columns, units = images.flatten(2).mT, [mask.mT for mask in masks]
            self.strategy.stack.gradients(points.detach(), columns, labels, units, found=found)
            return
        leaves = self._leaves(points)
        losses = vmap(self._noisy_loss)(leaves, images, labels, masks)
        # The losses share nothing, so the gradient of their sum holds the gradient of each.
        found[:] = self._flatten(torch.autograd.grad(losses.sum(), leaves, materialize_grads=True))

    def _leaves(self, points: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.detach().requires_grad_() for part in self._unpack(points))

    @staticmethod
    def _flatten(parts) -> Tensor:
        """One (K, *shape) a parameter -> (K, P)."""
        return torch.cat([part.reshape(len(part), -1) for part in parts], dim=1)  # a number has no axis to flatten

    def _masks(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the dropout masks (K, B, ...) of each layer; none where no point drops anything."""
        rates = batch.dropout.tolist()
        if not self._dropouts or not any(rates):
            return ()
        masks = []
        for layer in self._dropouts:
            shape = (batch.examples.shape[1], *(layer.shape or ()))  # of a layer that is never called, none
            rows = [
                torch.from_numpy(draw.random(shape, dtype="float32") >= rate) / (1 - rate)
                if rate
                else torch.ones(shape)
                for draw, rate in zip(batch.streams, rates, strict=True)
            ]
            masks.append(torch.stack(rows).to(self.device))
        return tuple(masks)

    def _full_losses(self, points_or_leaves, part: slice) -> Tensor:
        """Differentiable sums of losses (K,) over a chunk of the training split, divided by its whole size."""
        images, labels = (tensor[part] for tensor in self.splits["train"])
        images, count = self._arranged(images), len(points_or_leaves[0])

        def loss(parameters):
            return self.task.total(self._logits(parameters, images), labels)

        if self.strategy.train_together:
            return vmap(loss)(points_or_leaves) / self.examples
        return torch.stack([loss([leaf[k] for leaf in points_or_leaves]) for k in range(count)]) / self.examples

    def _full_gradients(self, points: Tensor) -> Tensor:
        of_chunk = self._written_out_gradients if self.strategy.stack else self._chunk_gradients
        parts = self._parts(self.examples)
        return torch.cat([sum(of_chunk(points[some], part) for part in parts) for some in self._some(len(points))])

    def _written_out_gradients(self, points: Tensor, part: slice) -> Tensor:
        images, labels = self.splits["train"]
        columns = images[part].flatten(1).T
        return self.strategy.stack.gradients(points.detach(), columns, labels[part], (), self.examples)

    def _chunk_gradients(self, points: Tensor, part: slice) -> Tensor:
        leaves = self._leaves(points)
        losses = self._full_losses(leaves, part)
        return self._flatten(torch.autograd.grad(losses.sum(), leaves, materialize_grads=True))

    @property
    def holds_graphs(self) -> bool:
        """Whether memory has room for the whole training split, differentiated once at one point."""
        return self.holds(self.examples)

    def holds(self, examples: int) -> bool:
        """Whether it would have room for so many examples."""
        fixed, each = self._graph_bytes
        return fixed + each * examples <= self.strategy.held

    @cached_property
    def _graph_bytes(self) -> tuple[float, float]:
        """Bytes that a gradient's graph keeps, whatever the number of examples, and those for each example.

        The examples themselves, which are in memory anyway, do not count.
        """
        if self.strategy.stack:
            return 0, 3 * self.strategy.stack.units * self.splits["train"][0].element_size()
        inputs, most = self.splits["train"][0], min(self.examples, MEASURED)
        point = models.flat(self.module).nan_to_num(0, 0, 0).to(self.device)
        point = point.to(inputs.dtype) if inputs.is_floating_point() else point
        sizes, data = {}, {part.untyped_storage().data_ptr() for part in self.splits["train"]}
        for count in (most // 2, most):
            kept: dict[int, int] = {}

            def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
                storage = tensor.untyped_storage()
                kept[storage.data_ptr()] = storage.nbytes() if storage.data_ptr() not in data else 0
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                _graph = self._products(point, [slice(0, count)])
            sizes[count] = sum(kept.values())
        each = (sizes[most] - sizes[most // 2]) / (most - most // 2)
        return sizes[most] - each * most, each

    def differentiable_logits(self, point: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield, over chunks of the training split, weights (P,) and logits (n, classes) that depend on them.

        Without dropout, with calibrated batch norms. The weights are a copy of the point (P,).
        """
        for part in self._parts(self.examples):
            leaf = point.detach().clone().requires_grad_()
            with sdpa_kernel(SDPBackend.MATH):  # no other kernel of attention has second derivatives
                yield leaf, self._logits(self.unpacked(leaf), self._arranged(self.splits["train"][0][part]))

    def hvp(self, point: Tensor, vectors: Tensor) -> Tensor:
        """See `Landscape.hvp`; over the whole training split."""
        return self.hessian_at(point)(vectors)

    def hessian_at(self, point: Tensor) -> Callable[[Tensor], Tensor]:
        """See `Landscape.hessian_at`; products of a call share the gradient's graph, of all calls if it is held."""
        step = math.ceil(self.examples / math.ceil(self.examples / self.strategy.differentiated))
        parts = self._parts(self.examples, step)
        together = min(VECTORS, max(1, self.strategy.products // step))
        point, holds = point.detach(), self.holds_graphs
        make: Callable[[Tensor, list[slice]], Callable[[Tensor], Tensor]]
        make = self._written_out_products if self.strategy.stack else self._products
        # Chunks of one graph share the statistics of batch norm.
        groups = [parts] if holds and not self.strategy.stack else [[part] for part in parts]
        held = [make(point, group) for group in groups] if holds else ()

        def products(vectors: Tensor) -> Tensor:
            total = torch.zeros_like(vectors)
            for product in held or (make(point, group) for group in groups):
                for some in range(0, len(vectors), together):
                    total[some : some + together] += product(vectors[some : some + together])
            return total

        return products

    def hessian_trace(self, point: Tensor) -> float | None:
        """See `Landscape.hessian_trace`: known of linear layers with ReLU under the plain cross-entropy."""
        stack = self._linear
        if stack is None:
            return None
        images, classes = self.splits["train"][0], stack.sizes[-1][1]
        parts = self._parts(self.examples, max(1, self.strategy.products // classes))
        with torch.no_grad():
            return sum(stack.hessian_trace(point, images[part].flatten(1).T, self.examples) for part in parts)

    @cached_property
    def _linear(self) -> LinearStack | None:
        """The network as a stack of linear layers, whatever the strategy, if its gradients on a few examples say so."""
        sizes = models.linear_sizes(self.module) if self.task.plain else []
        if self.strategy.stack or not sizes:
            return self.strategy.stack
        few, stack = self.of_first(MEASURED), LinearStack(sizes)
        images, labels = few.splits["train"]
        point = models.flat(self.module).nan_to_num(0, 0, 0)[None].to(images)
        return (
            stack if trials.agree(stack.gradients(point, images.flatten(1).T, labels), few.gradients(point)) else None
        )

    def _written_out_products(self, point: Tensor, parts: list[slice]) -> Callable[[Tensor], Tensor]:
        (part,), (images, labels) = parts, self.splits["train"]
        return self.strategy.stack.hessian(point, images[part].flatten(1).T, labels[part], self.examples)

    def _products(self, point: Tensor, parts: list[slice]) -> Callable[[Tensor], Tensor]:
        """Return the Hessian of chunks' losses as a map, from a gradient with its graph, without `vmap`'s cost."""
        leaves = [one[0].requires_grad_() for one in self._unpack(point[None])]
        images, labels = self.splits["train"]
        with sdpa_kernel(SDPBackend.MATH):  # no other kernel of attention has second derivatives
            moments = self._moments(leaves)
            losses = [self.task.total(self._logits(leaves, images[part], moments), labels[part]) for part in parts]
            loss = sum(losses[1:], losses[0]) / self.examples
            slopes = torch.autograd.grad(loss, leaves, create_graph=True, materialize_grads=True)
        gradient = torch.cat([slope.flatten() for slope in slopes])

        def products(vectors: Tensor) -> Tensor:
            rows = []
            for vector in vectors:
                moved = torch.autograd.grad(gradient, leaves, vector, retain_graph=True, materialize_grads=True)
                rows.append(torch.cat([one.flatten() for one in moved]))
            return torch.stack(rows)

        return products


def network_landscape(
    data: xr.Dataset, model: dict, device: str = "auto", strategy: str = "auto", about: dict = PLAIN_LOSS
) -> NetworkLandscape:
    """Return the landscape of a model on a data set.

    Args:
        data: its store (`datasets.load_dataset`).
        model: as `models.build` takes it.
        device: auto, cpu, cuda or mps.
        strategy: `auto` computes as is fast on the device, `plain` one point after another.
        about: the loss, as `losses.loss_of` returns it.
    """
    splits, outputs = examples_of(data), outputs_of(data, about["loss"])
    task = task_of(about, {name: labels for name, (_inputs, labels) in splits.items()}, outputs)
    module = models.build(model, shape_of(data), outputs)
    return NetworkLandscape._of_built(module, model, splits, choose_device(device), strategy == "plain", task)


def initial_points(landscape: NetworkLandscape, data: xr.Dataset, model: dict, seeds: list[int]) -> Tensor:
    """Return PyTorch's initialisations (seed, P), on the landscape's device."""
    shape, outputs = shape_of(data), landscape.outputs
    points = [models.flat(models.build(model, shape, outputs, seed)) for seed in seeds]
    return torch.stack(points).to(landscape.device)
