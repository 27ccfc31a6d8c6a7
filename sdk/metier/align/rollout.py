"""Answers of the policy in training, decoded by the ONNX engine with the current LoRA weights bound to its slots.

The graph of the base is exported once and cached; an update of the policy costs one copy of its LoRA. The difference
between graph and torch is measured on every answer, and corrected in the gradient: see `Mismatch` and `ppo`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Semaphore
from typing import Any, Self

import numpy as np
from filelock import FileLock

from metier.bases.cache import home
from metier.bases.checksum import entries_of
from metier.bases.resolve import LocalBase
from metier.bases.torch_model import load_torch
from metier.contracts import BundleError, Manifest, TaskContract, Value
from metier.contracts.bundle import MANIFEST, Precision
from metier.decoding.generation import Generation, Request
from metier.decoding.sampling import Sampling
from metier.decoding.tokenizer import ChatTokenizer
from metier.disk import atomic_folder, scratch_folder
from metier.export.bundle_steps import copy_tokenizer, library_versions, save_model
from metier.export.decoder_graph import build_graph
from metier.export.lora_slots import add_slots, linear_shapes
from metier.export.parity import prove
from metier.export.precision import PRECISIONS
from metier.prompting.prompt import prompt_ids
from metier.runtime.bundle import Bundle, open_bundle
from metier.runtime.engine import Engine

POLICY = "policy"
_PROOF = "Name three things that every household needs, and say in one sentence each what they are for."


@dataclass(frozen=True)
class Rollout:
    """One answer of the policy, as it was sampled."""

    prompt: tuple[int, ...]
    reply: tuple[int, ...]
    """The end token is the last where the answer is complete and not cut."""
    logprobs: tuple[float, ...]
    """Of each reply token under the graph, in nats."""
    text: str
    ended: bool


@dataclass(frozen=True)
class Mismatch:
    """Distance of the rollout graph's log-probabilities from the torch policy's, over sampled tokens."""

    tokens: int
    mean_abs: float
    """Nats."""
    max_abs: float
    kl: float
    """Nats per token from graph to torch, by the estimator that is never negative: mean of r - 1 - ln r."""


def rollout_bundle(
    base: LocalBase,
    *,
    precision: Precision = "int8",
    cache: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Bundle:
    """The base with LoRA slots as a bundle, from the cache, or exported into it and proved against torch.

    Args:
        base: of the policy.
        precision: of the graph's weights. int8 is about twice as fast as fp32 and differs by 0.08 nats a token from the
            policy, which importance weights can correct; int4 differs by 0.57, more than a policy should change in an
            update (tests/benchmarks/rollout.py on the default base, batch 16).
        cache: folder of bundles; None is Metier's own cache.
        progress: called with the stage.

    Raises:
        ExportError: the graph cannot be built, or differs from the model. ResourceError: the disk is full.
    """
    folder = (cache or home() / "rollouts") / f"{base.sha256[:16]}-{precision}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if (folder / MANIFEST).is_file():
            try:
                return open_bundle(folder)
            except BundleError:  # damaged, or of another version: export it again
                pass
        (progress or (lambda stage: None))("export the rollout graph")
        _export(base, folder, precision)
        return open_bundle(folder)


class RolloutEngine:
    """An engine that answers as the policy. Use as a context manager.

    Args:
        bundle: from `rollout_bundle`.
        rows: answers decoded together.
        max_len: tokens of prompt and reply together.
        threads: CPU threads; None takes as many as torch does, which rests meanwhile.
    """

    def __init__(self, bundle: Bundle, *, rows: int = 16, max_len: int = 512, threads: int | None = None) -> None:
        import torch

        threads = threads or torch.get_num_threads()
        self._engine = Engine(bundle, device="cpu", rows=rows, max_len=max_len, threads=threads, queue=1 << 16)
        self._tokenizer = bundle.tokenizer
        self._adapter: str | None = None

    def set_weights(self, adapted: Any) -> None:
        """Decode with the weights of this PEFT model from now on."""
        self._engine.load_adapter(POLICY, *live_lora(adapted))
        self._adapter = POLICY

    def prompt(self, task: TaskContract, input: Value, language: str | None = None) -> tuple[int, ...]:
        """The prompt as the product renders it."""
        return tuple(prompt_ids(self._tokenizer, task, input, language=language))

    def draw(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int | Sequence[int],
        seed: int = 0,
        temperature: float = 1.0,
    ) -> list[Rollout]:
        """One answer to each prompt, sampled from the full distribution and without a grammar.

        A grammar, or leaving out unlikely tokens, would sample from another policy than the one in training. An answer
        in a wrong form is allowed: the reward discourages it.

        Args:
            prompts: token ids; prompts with a common beginning share its computation.
            max_tokens: of every reply, or one per reply.
            seed: the same seed and weights give the same answers, except near ties: the last bit depends on the rows
                that share a step.
            temperature: 1 samples the policy in training; 0 takes its likeliest answer, for measuring.

        Raises:
            RequestError: a prompt and its reply do not fit a row.
        """
        bounds = [max_tokens] * len(prompts) if isinstance(max_tokens, int) else list(max_tokens)
        generations: dict[int, Generation] = {}
        ended = Semaphore(0)
        # Longest prompts first: they have long answers, and a long one that starts last is decoded alone at the end.
        for number in sorted(range(len(prompts)), key=lambda n: -len(prompts[n])):
            own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
            request = Request(
                ids=tuple(prompts[number]),
                sampling=Sampling(temperature=temperature, seed=own),
                max_tokens=bounds[number],
                adapter=self._adapter,
                logprobs=True,
            )
            generations[number] = self._engine.submit(request, wait=None)
            generations[number].add_done_callback(ended.release)
        for _ in prompts:  # waiting for an answer's text would wake this thread at every token and slow the engine
            ended.acquire()
        drawn = []
        for number in range(len(prompts)):
            generation = generations[number]
            generation.result()
            end = () if generation.end_token is None else (generation.end_token,)
            drawn.append(
                Rollout(
                    prompt=generation.request.ids,
                    reply=(*generation.ids, *end),
                    logprobs=tuple(generation.logprobs),
                    text=generation.text,
                    ended=bool(end),
                )
            )
        return drawn

    def close(self) -> None:
        """Stop the engine."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def live_lora(adapted: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A PEFT model's LoRA as `Engine.load_adapter` takes it: the tensors on their device, and their configuration."""
    from peft import get_peft_model_state_dict

    return get_peft_model_state_dict(adapted, adapter_name="default"), adapted.peft_config["default"].to_dict()


def mismatch(torch_logprobs: Sequence[float], graph_logprobs: Sequence[float]) -> Mismatch:
    """Compare log-probabilities of the same tokens, drawn from the graph."""
    ratio = np.asarray(torch_logprobs, np.float64) - np.asarray(graph_logprobs, np.float64)
    return Mismatch(
        tokens=len(ratio),
        mean_abs=float(np.abs(ratio).mean()),
        max_abs=float(np.abs(ratio).max()),
        kl=float((np.exp(ratio) - 1 - ratio).mean()),
    )


def _export(base: LocalBase, folder: Path, precision: Precision) -> None:
    tokenizer = ChatTokenizer.load(base.path)
    prompt = tokenizer.encode(_PROOF)
    model = load_torch(base)
    with (
        atomic_folder(folder, "a rollout bundle", MANIFEST) as part,
        scratch_folder(folder) as exported,
    ):
        save_model(model, base, exported)
        graph = build_graph(exported, part, precision, "cpu")
        slots = add_slots(part / graph.file, linear_shapes(exported))
        copy_tokenizer(base.path, part)
        graph = graph.model_copy(update={"eos_token_ids": tokenizer.eos_ids})
        half = len(prompt) // 2
        parity = prove(
            model, part, graph, [(prompt[:half], prompt[half:])], PRECISIONS[precision].tolerance, slots=slots
        )
        manifest = Manifest(
            name="rollouts",
            created=datetime.now(UTC),
            base=base.card,
            licence=base.card.licence,
            precision=precision,
            target="cpu",
            tasks=(),
            graph=graph,
            slots=slots,
            parity=parity,
            versions=library_versions(),
            files=entries_of(part),
        )
        (part / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")
