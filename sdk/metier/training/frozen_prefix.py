"""The layers below the lowest trained one: their hidden states of an example are computed once, and reused.

In a causal model these depend on the example's own tokens alone, whatever shares its batch. This knows layers and
examples; how a batch is laid out is `TrainingModel`'s.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import Tensor, nn

from metier.training.examples import Example
from metier.training.hidden_state_cache import HiddenStateCache


class FrozenPrefix:
    """The first layers of a model, none of which is trained, and the cache of their hidden states."""

    def __init__(self, layers: nn.ModuleList, count: int, cache: HiddenStateCache) -> None:
        """Take the first `count` of all `layers`."""
        self._below, self._above = layers[:count], layers[count:]
        self._cache = cache
        self._numbers: dict[Example, int] = {}

    @property
    def cached_bytes(self) -> int:
        """Bytes on disk."""
        return self._cache.size

    def store(self, example: Example, states: Tensor) -> bool:
        """Cache the hidden states of an example, [tokens, width], unless the cache is full; whether they are cached."""
        number = len(self._numbers)
        if example not in self._numbers and self._cache.store(number, states):
            self._numbers[example] = number
        return example in self._numbers

    def cached_states(self, example: Example) -> Tensor | None:
        """[tokens, width], or None where they are not cached."""
        number = self._numbers.get(example)
        return None if number is None else self._cache.get(number)

    def only_frozen(self) -> AbstractContextManager[list[Tensor]]:
        """See `only_below`."""
        return only_below(self._below, self._above)

    def replaced_by(self, states: Tensor) -> AbstractContextManager[None]:
        """Inside, the frozen layers compute nothing and output `states`."""
        return replaced(self._below, lambda _: states)


UNSUPPORTED = (TypeError, ValueError, RuntimeError, AttributeError, LookupError)
"""What an architecture raises that calls its layers, or its attention function, in another way, or takes none."""


@contextmanager
def only_below(below: nn.ModuleList, above: Iterable[nn.Module]) -> Iterator[list[Tensor]]:
    """Inside, no layer above computes anything; the list takes the output of the last one below at each forward."""
    outputs: list[Tensor] = []
    handle = below[-1].register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        with replaced(above, lambda hidden: hidden):
            yield outputs
    finally:
        handle.remove()


@contextmanager
def replaced(layers: Iterable[nn.Module], function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside, these layers compute nothing and output `function` of their input."""

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(hidden_states)

    layers = list(layers)
    for layer in layers:
        layer.forward = forward
    try:
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)
