"""Prometheus metrics, under the names that vLLM's dashboards and inference gateways read, and a few of our own."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from metier.serve.models import ServedModel, ServedModels

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class ServerMetrics:
    """Counters and histograms of one server; gauges are read from the engines when a scrape comes."""

    def __init__(self, models: ServedModels) -> None:
        self.registry = CollectorRegistry()
        label, registry = ["model_name"], self.registry

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(name, text, label, buckets=SECONDS, registry=registry)

        def counter(name: str, text: str, labels: list[str]) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self.first = histogram("vllm:time_to_first_token_seconds", "Seconds from the request to its first token.")
        self.between = histogram("vllm:inter_token_latency_seconds", "Seconds between two tokens of a reply.")
        self.end_to_end = histogram("vllm:e2e_request_latency_seconds", "Seconds from the request to its last token.")
        self.prompt_tokens = counter("vllm:prompt_tokens", "Prompt tokens.", label)
        self.reply_tokens = counter("vllm:generation_tokens", "Reply tokens.", label)
        self.finished = counter("vllm:request_success", "Replies that ended.", [*label, "finished_reason"])
        self.responses = counter("metier:http_responses", "Responses by path and status.", ["path", "status"])
        self.findings = counter("metier:answers_with_findings", "Answers in which a check found something.", ["task"])
        self.answers = counter("metier:answers", "Answers to typed tasks.", ["task"])
        registry.register(_Engines(models))

    def of(self, model: ServedModel) -> Timed:
        """The metrics of one model's replies."""
        return Timed(self, model.id)

    def text(self) -> bytes:
        """The exposition format, text version 0.0.4."""
        return generate_latest(self.registry)


@dataclass(frozen=True)
class Timed:
    """Records one reply."""

    metrics: ServerMetrics
    name: str

    def first_token(self, seconds: float) -> None:
        """The first token came after so many seconds."""
        self.metrics.first.labels(self.name).observe(seconds)

    def later_tokens(self, seconds: float, count: int) -> None:
        """So many tokens came in so many seconds."""
        self.metrics.between.labels(self.name).observe(seconds / count)

    def ended(self, seconds: float, prompt: int, reply: int, reason: str) -> None:
        """The reply ended."""
        metrics = self.metrics
        metrics.end_to_end.labels(self.name).observe(seconds)
        metrics.prompt_tokens.labels(self.name).inc(prompt)
        metrics.reply_tokens.labels(self.name).inc(reply)
        metrics.finished.labels(self.name, reason).inc()


class _Engines(Collector):
    """Gauges of the engines, read at every scrape."""

    def __init__(self, models: ServedModels) -> None:
        self._models = models

    def collect(self) -> Iterable[Any]:
        label = ["model_name"]
        running = GaugeMetricFamily("vllm:num_requests_running", "Requests that hold a row.", labels=label)
        waiting = GaugeMetricFamily("vllm:num_requests_waiting", "Requests in the queue.", labels=label)
        cache = GaugeMetricFamily("vllm:kv_cache_usage_perc", "Share of the KV tokens in use, 0 to 1.", labels=label)
        lora = GaugeMetricFamily(
            "vllm:lora_requests_info",
            "Adapters of running and waiting requests; the value is the time of the scrape.",
            labels=["max_lora", "running_lora_adapters", "waiting_lora_adapters"],
        )
        loaded = GaugeMetricFamily("metier:adapter_bytes", "Bytes of loaded adapters.", labels=label)
        for name, engine in self._models.engines.items():
            load = engine.load()
            running.add_metric([name], load.running)
            waiting.add_metric([name], load.waiting)
            cache.add_metric([name], load.tokens / load.tokens_total if load.tokens_total else 0.0)
            loaded.add_metric([name], engine.adapters.nbytes)
            adapters = [",".join(load.running_adapters), ",".join(load.waiting_adapters)]
            lora.add_metric([str(engine.rows), *adapters], time.time())
        return [running, waiting, cache, lora, loaded]
