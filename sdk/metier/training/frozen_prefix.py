"""The layers below the lowest that learns: what they say of an example is computed once, and training goes on from it.

In a causal model that depends on the example's own tokens alone, whatever shares its batch. This knows layers and
examples; how a batch is laid out is `training_model`'s business.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import Tensor, nn

from metier.training.examples import Example
from metier.training.hidden_state_cache import HiddenStateCache


class FrozenPrefix:
    """The first layers of a model, none of which learns, and what they said of examples so far."""

    def __init__(self, layers: nn.ModuleList, count: int, states: HiddenStateCache) -> None:
        """Take the first `count` of all `layers`; `states` keeps what they say, as far as its bound goes."""
        self._below, self._above = layers[:count], layers[count:]
        self._states = states
        self._numbers: dict[Example, int] = {}

    @property
    def kept(self) -> int:
        """Bytes on disk."""
        return self._states.kept

    def keep(self, example: Example, said: Tensor) -> bool:
        """Keep what they say of an example, [tokens, width], unless the bound is reached; whether it is kept."""
        number = len(self._numbers)
        if example not in self._numbers and self._states.keep(number, said):
            self._numbers[example] = number
        return example in self._numbers

    def said(self, example: Example) -> Tensor | None:
        """[tokens, width], or None where it is not kept."""
        number = self._numbers.get(example)
        return None if number is None else self._states.get(number)

    def alone(self) -> AbstractContextManager[list[Tensor]]:
        """See `alone`."""
        return alone(self._below, self._above)

    def saying(self, hidden: Tensor) -> AbstractContextManager[None]:
        """Inside, they say `hidden` and compute nothing."""
        return instead(self._below, lambda _: hidden)


UNABLE = (TypeError, ValueError, RuntimeError, AttributeError, LookupError)
"""What an architecture raises that calls its layers, or its attention function, in another way, or takes none."""


@contextmanager
def alone(below: nn.ModuleList, above: Iterable[nn.Module]) -> Iterator[list[Tensor]]:
    """Inside, no layer above computes anything; the list takes what the last of those below says at each forward."""
    said: list[Tensor] = []
    handle = below[-1].register_forward_hook(lambda module, given, out: said.append(out))
    try:
        with instead(above, lambda hidden: hidden):
            yield said
    finally:
        handle.remove()


@contextmanager
def instead(layers: Iterable[nn.Module], given: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside, these layers give what `given` makes of what they were to take, and compute nothing."""

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return given(hidden_states)

    layers = list(layers)
    for layer in layers:
        layer.forward = forward
    try:
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)
