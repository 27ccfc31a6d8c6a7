"""The same traffic through HTTP and through the Python API: tokens per second, added latency, memory, lost answers.

    python tests/benchmarks/http_load.py [--json] [--base smollm2-135m | --tiny] [--clients 1 2 4 8 16 32 64]
        [--tokens 32] [--repeat 3] [--requests 2] [--minutes 0]

One engine, served by uvicorn in this process, answers both: `metier serve`'s endpoint for chats by way of a client in a
process of its own (plain sockets, kept alive), and `Engine.achat` or `stream_chat` called here. Prompts come from
packaged samples of several tasks, each request names one of four adapters or none, and no two prompts begin their
text alike, so that no prompt's KV serves another. The two ways take turns, and each round swaps their order. With
--minutes, mixed traffic of 8 clients follows, some of which leave early, while the process's memory is sampled: flat
means that the median of the last quarter is within 5 per cent of the second quarter's. (The file is not http.py: in
this folder that name would hide the standard library's `http` from every script.)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
ADAPTERS = ("a0", "a1", "a2", "a3", None)
ROWS = 8
LONGEST = 200
"""Characters of a sample in a prompt."""
LEFT = "left on purpose"
KEY = "benchmark-0123456789"
SHARE, ADDED_MS, TOLERANCE = 0.95, 5.0, 1.05
"""Goals: tokens per second of the API's at 8 clients; milliseconds added to the median latency; memory."""

Row = dict[str, Any]


def main() -> None:
    """Measure, and print JSON or a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--tiny", action="store_true", help="a tiny random base: the server's own cost, in seconds")
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--requests", type=int, default=2, help="of each client in a round; at least 8 in all")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=0, help="of mixed traffic while memory is sampled")
    parser.add_argument("--note", default="", help="kept in the result, such as what else the machine did")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        asyncio.run(client(options.client))
        return
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(options, Path(scratch))
    if options.json:
        print(json.dumps(result, indent=1))
        return
    for row in result["rounds"]:
        print(row)
    print(result["goals"], result["memory"])


def measure(options: Any, scratch: Path) -> Row:
    """Every number of clients, streamed and not; then memory."""
    from slot_bundles import build, machine, with_adapters

    from metier.runtime import Engine
    from metier.serve import ServeSettings, create_app

    base = options.base
    if options.tiny:
        sys.path.insert(0, str(ROOT))
        from tests.conftest import make_tiny_base

        base = str(make_tiny_base(scratch / "base"))
    _, slotted = build(base, scratch / "bundles", precision="fp32" if options.tiny else "int4")
    bundle = with_adapters(slotted, [8, 8, 4, 2])
    prompts = Prompts(40 if options.tiny else LONGEST)
    queue = 2 * max(*options.clients, 8)
    with Engine(bundle, rows=ROWS, max_len=512, adapter_bytes=1 << 30, queue=queue) as engine:
        app = create_app([engine], ServeSettings(api_keys=(KEY,), port=0))
        with Served(app) as served:
            rounds = [
                compare(engine, served, prompts, clients, stream, options)
                for clients in options.clients
                for stream in (False, True)
            ]
            memory = sample_memory(engine, served, prompts, options) if options.minutes else None
    at_eight = [row["http_over_api"] for row in rounds if row["clients"] == 8]
    alone = [row["added_p50_ms"] for row in rounds if row["clients"] == 1]
    lost = sum(row["unanswered"] for row in rounds) + (memory["unanswered"] if memory else 0)
    eight = bool(at_eight) and min(at_eight) >= SHARE
    flat = memory and memory["late_over_early"] <= TOLERANCE
    return {
        "benchmark": "http_load",
        **machine("onnxruntime-gpu", "onnxruntime", "starlette", "uvicorn", "numpy"),
        "load_average_before": LOAD, "note": options.note,
        "base": "tiny random Llama" if options.tiny else options.base, "rows": ROWS, "adapters": len(ADAPTERS) - 1,
        "new_tokens": options.tokens, "repeat": options.repeat, "rounds": rounds, "memory": memory,
        "goals": {
            f"tokens/s of HTTP over the API at 8 clients >= {SHARE}": [at_eight, eight],
            f"added median latency of one client <= {ADDED_MS} ms": [alone, bool(alone) and max(alone) <= ADDED_MS],
            "unanswered requests == 0": [lost, lost == 0],
            "memory flat": [memory and memory["late_over_early"], flat],
        },
    }  # fmt: skip


LOAD = round(os.getloadavg()[0], 2)


class Prompts:
    """Messages of several tasks' packaged samples, cut to `longest` characters; each begins with its own number."""

    def __init__(self, longest: int) -> None:
        from metier.data.training import packaged
        from metier.plugins import load_plugins

        self._texts, self._next = [], 0
        registry = load_plugins()
        for name in ("adcopy.describe", "support.reply", "gamewriting.bark", "screenplay.scene"):
            try:
                vertical, task = registry.task(name)
            except Exception:  # a trade that is not installed
                continue
            samples = packaged(vertical, task)[:8]
            self._texts += [json.dumps(sample.input, ensure_ascii=False)[:longest] for sample in samples]

    def take(self, count: int, stream: bool, tokens: int) -> list[Row]:
        """Bodies of that many requests."""
        found = []
        for _ in range(count):
            number, self._next = self._next, self._next + 1
            content = f"{number}. Write it: {self._texts[(number * 5) % len(self._texts)]}"
            body: Row = {"messages": [{"role": "user", "content": content}], "max_tokens": tokens, "stream": stream}
            if (adapter := ADAPTERS[number % len(ADAPTERS)]) is not None:
                body["model"] = adapter
            found.append(body)
        return found


def compare(engine: Any, served: Served, prompts: Prompts, clients: int, stream: bool, options: Any) -> Row:
    """Medians of rounds by both ways, in turns."""
    total = max(8, clients * options.requests)
    found: dict[str, list[Row]] = {"http": [], "api": []}
    ways = {"http": served.round, "api": lambda bodies, clients: asyncio.run(api_round(engine, bodies, clients))}
    for number in range(options.repeat + 1):
        for how in ("http", "api") if number % 2 else ("api", "http"):
            outcome = ways[how](prompts.take(total, stream, options.tokens), clients)
            if number:  # the first round warms up
                found[how].append(outcome)

    def median(how: str, name: str) -> float:
        return statistics.median(round_[name] for round_ in found[how])

    def p50(how: str, name: str) -> float:
        return 1000 * statistics.median(value for round_ in found[how] for value in round_[name])

    speeds = {how: [total * options.tokens / round_["seconds"] for round_ in found[how]] for how in found}
    row = {
        "clients": clients, "stream": stream, "requests": total,
        **{f"{how}_tokens_per_second": round(total * options.tokens / median(how, "seconds"), 1) for how in found},
        "http_over_api": round(median("api", "seconds") / median("http", "seconds"), 3),
        "http_over_api_rounds": [round(a / b, 3) for a, b in zip(speeds["http"], speeds["api"], strict=True)],
        "added_p50_ms": round(p50("http", "latencies") - p50("api", "latencies"), 2),
        "api_p50_ms": round(p50("api", "latencies"), 1),
        "unanswered": sum(round_["unanswered"] for how in found for round_ in found[how]),
    }  # fmt: skip
    if stream:
        row["added_first_token_p50_ms"] = round(p50("http", "firsts") - p50("api", "firsts"), 2)
    print(row, file=sys.stderr, flush=True)
    return row


async def spread(bodies: list[Row], clients: int, one: Any) -> Row:
    """All requests by that many callers, each with one in flight: seconds, latencies, first tokens, failures."""
    waiting, latencies, firsts, errors = iter(bodies), [], [], []

    async def caller(number: int) -> None:
        for body in waiting:
            begun = time.perf_counter()
            try:
                first = await one(number, body)
            except Exception as error:
                errors.append(repr(error)[:200])
                continue
            latencies.append(time.perf_counter() - begun)
            firsts.append(first - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(clients)))
    seconds = time.perf_counter() - begun
    unanswered = len(bodies) - len(latencies)
    return {
        "seconds": seconds,
        "latencies": latencies,
        "firsts": firsts,
        "unanswered": unanswered,
        "errors": errors,
    }


async def api_round(engine: Any, bodies: list[Row], clients: int) -> Row:
    """A round by the Python API."""

    async def one(_number: int, body: Row) -> float:
        options = {"adapter": body.get("model"), "max_tokens": body["max_tokens"]}
        if not body["stream"]:
            reply = await engine.achat(body["messages"], **options)
            assert reply.reply_tokens == body["max_tokens"], reply
            return time.perf_counter()
        first = 0.0
        generation = engine.stream_chat(body["messages"], **options)
        async for _ in generation:
            first = first or time.perf_counter()
        assert len(generation.ids) == body["max_tokens"]
        return first or time.perf_counter()

    return await spread(bodies, clients, one)


class Served:
    """uvicorn in a thread, and the client's process; `round` runs requests through both."""

    def __init__(self, app: Any) -> None:
        import uvicorn

        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> Served:
        import logging

        logging.disable(logging.INFO)  # a line of log a request would mix with the result
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        command = [sys.executable, __file__, "--client", f"127.0.0.1:{port}"]
        self._client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._client.stdin
        self._client.stdin.close()
        self._client.wait(30)
        self._server.should_exit = True
        self._thread.join(30)

    def round(self, bodies: list[Row], clients: int) -> Row:
        """A round by HTTP."""
        assert self._client.stdin and self._client.stdout
        print(json.dumps({"bodies": bodies, "clients": clients}), file=self._client.stdin, flush=True)
        found: Row = json.loads(self._client.stdout.readline())
        if errors := [error for error in found["errors"] if LEFT not in error]:
            print(errors, file=sys.stderr)
        return found


async def client(address: str) -> None:
    """The client's process: a line of JSON in, a round, a line of JSON out."""
    host, port = address.split(":")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        task = json.loads(line)
        connections: dict[int, Any] = {}

        async def one(number: int, body: Row, connections: dict[int, Any] = connections) -> float:
            if number not in connections:
                connections[number] = await asyncio.open_connection(host, int(port))
            try:
                return await request(*connections[number], address, body)
            except BaseException:
                connections.pop(number)[1].close()
                raise

        found = await spread(task["bodies"], task["clients"], one)
        for _, writer in connections.values():
            writer.close()
        print(json.dumps(found), flush=True)


async def request(reader: Any, writer: Any, address: str, body: Row) -> float:
    """One request over a connection that stays open; returns when the first text came."""
    raw = json.dumps({key: value for key, value in body.items() if key != "leave"}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {KEY}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw)
    if body.get("leave"):
        await asyncio.sleep(0.05)
        raise ConnectionAbortedError(LEFT)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if " 200 " not in lines[0]:
        raise RuntimeError(lines[0] + (await reader.read(300)).decode("utf-8", "replace"))
    if "content-length" in headers:
        whole = json.loads(await reader.readexactly(int(headers["content-length"])))
        assert whole["usage"]["completion_tokens"] == body["max_tokens"], whole
        return time.perf_counter()
    first, received = 0.0, b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        piece = await reader.readexactly(size + 2)
        received = (received + piece[:-2])[-200:]
        if not first and b'"content":"' in piece and b'"content":""' not in piece:
            first = time.perf_counter()
    await reader.readexactly(2)
    assert received.endswith(b"data: [DONE]\n\n"), received
    return first or time.perf_counter()


def sample_memory(engine: Any, served: Served, prompts: Prompts, options: Any) -> Row:
    """Mixed traffic, of which every tenth client leaves early, and the resident memory of engine and server."""
    import psutil

    samples: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        process = psutil.Process()
        while not ended.wait(1):
            samples.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    until, answered, unanswered, left = time.monotonic() + 60 * options.minutes, 0, 0, 0
    number = 0
    while time.monotonic() < until:
        bodies = prompts.take(20, bool(number % 2), options.tokens)
        for body in bodies[::10]:
            body["leave"] = True
        outcome = served.round(bodies, 8)
        leaving = len(bodies[::10])
        answered, left = answered + len(outcome["latencies"]), left + leaving
        unanswered += outcome["unanswered"] - leaving
        number += 1
    ended.set()
    watcher.join()
    end = time.monotonic() + 30
    while (load := engine.load()).running or load.waiting:
        assert time.monotonic() < end, "rows of clients that left are still in use"
        time.sleep(0.05)
    quarter = max(1, len(samples) // 4)
    early, late = statistics.median(samples[quarter : 2 * quarter]), statistics.median(samples[-quarter:])
    return {
        "minutes": options.minutes, "answered": answered, "left_early": left, "unanswered": unanswered,
        "rss_mib": {"second_quarter": round(early / 2**20, 1), "last_quarter": round(late / 2**20, 1)},
        "late_over_early": round(late / early, 4),
    }  # fmt: skip


if __name__ == "__main__":
    main()
