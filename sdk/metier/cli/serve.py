"""`metier serve`: bundles over HTTP, for OpenAI's clients, for typed tasks and in a page. Loads no torch."""

from __future__ import annotations

import contextlib
import logging
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metier._install import install_command
from metier.contracts import UsageError
from metier.terminal.screen import note, say

if TYPE_CHECKING:
    from metier.serve.settings import ServeSettings

_LOCAL = ("127.0.0.1", "localhost", "::1")


def serve(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE…", help="Folders that `metier export` wrote.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8000,
    api_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keys that may use the models, one a line.")
    ] = None,
    admin_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keys that may also load and unload adapters.")
    ] = None,
    no_key: Annotated[bool, typer.Option("--no-key", help="Answer without a key; on this machine only.")] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Host name that requests may use; may be repeated.")
    ] = None,
    origin: Annotated[
        list[str] | None, typer.Option(help="Web origin that browsers may call from; may be repeated.")
    ] = None,
    adapters: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="Adapters may be loaded from here at run time.")
    ] = None,
    store: Annotated[Path | None, typer.Option(metavar="FILE", help="Feedback store for answers and feedback.")] = None,
    registry: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Iteration registry whose champion answers; needs --store.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; by default one per core.")] = None,
    rows: Annotated[int, typer.Option(help="Requests decoded at once.")] = 8,
    queue: Annotated[int, typer.Option(help="Requests that may wait; one more gets status 429.")] = 256,
    tls_certificate: Annotated[Path | None, typer.Option(metavar="PEM", help="Serve HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="PEM", help="Private key of the certificate.")] = None,
    log_prompts: Annotated[bool, typer.Option(help="Write prompts into the log.")] = False,
) -> None:
    """Serve bundles over HTTP. OpenAI's clients work with it unchanged."""
    try:
        import uvicorn  # noqa: F401

        from metier.serve.settings import ServeSettings
    except ImportError as error:
        raise UsageError(
            f"{error.name} is not installed", remedy=f"run `{install_command('serve')}` for the HTTP server"
        ) from error
    if (tls_certificate is None) != (tls_key is None):
        raise UsageError("HTTPS needs both a certificate and its key", remedy="give --tls-certificate and --tls-key")
    if no_key and host not in _LOCAL:
        raise UsageError(
            f"--no-key on {host} would let everybody in", remedy="give --api-key-file, or listen on 127.0.0.1"
        )
    if registry is not None and store is None:
        raise UsageError("--registry needs --store", remedy="name the feedback store that the registry learns from")
    keys = _keys(api_key_file)
    if not keys and not no_key:
        keys = (secrets.token_urlsafe(24),)
        note(f"no --api-key-file: this server's key is {keys[0]}")
    settings = ServeSettings(
        host=host,
        port=port,
        api_keys=keys,
        admin_keys=_keys(admin_key_file),
        open_access=no_key,
        hosts=(*ServeSettings().hosts, host, *(allow_host or ())),
        origins=tuple(origin or ()),
        adapter_folders=tuple(adapters or ()),
        log_prompts=log_prompts,
    )
    logger = logging.getLogger("metier.serve")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler(sys.stderr))
    options = {"device": device, "threads": threads, "rows": rows, "queue": queue}
    _serve(bundles, settings, options, store, registry, tls_certificate, tls_key)


def _serve(
    bundles: list[Path],
    settings: ServeSettings,
    options: dict[str, Any],
    store: Path | None,
    registry: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> None:
    """Open everything, serve, and close everything."""
    from metier.feedback import FeedbackStore, StoreRecorder
    from metier.iterate import LiveEngine, Registry
    from metier.plugins import load_plugins
    from metier.runtime import Engine
    from metier.serve import create_app
    from metier.serve import serve as run_server

    plugins = load_plugins()
    checks = {task.name: v.checks_for(task) for v in plugins.verticals.values() for task in v.tasks}
    with contextlib.ExitStack() as stack:
        feedback = stack.enter_context(FeedbackStore(store)) if store is not None else None
        recorder = StoreRecorder(feedback) if feedback is not None else None
        engines = []
        for bundle in bundles:
            engine = Engine(bundle, bridges=plugins.bridges.values(), recorder=recorder, **options)
            engines.append(stack.enter_context(engine))
            note(f"{engine.bundle.manifest.name}: {engine.device}, {engine.device_reason}")
        live = None
        if registry is not None and feedback is not None:
            opened = Registry(registry)
            owner = next(
                (e for e in engines if any(t.name == opened.task.name for t in e.bundle.manifest.every_task)),
                engines[0],
            )
            live = LiveEngine(owner, opened, feedback, checks=checks.get(opened.task.name, ()))
        app = create_app(engines, settings, checks=checks, store=feedback, live=live)
        scheme = "https" if certificate else "http"
        say(f"serving on {scheme}://{settings.host}:{settings.port}  (OpenAI base URL: …/v1)")
        run_server(app, certificate=str(certificate) if certificate else None, key=str(key) if key else None)


def _keys(file: Path | None) -> tuple[str, ...]:
    """The keys of a file: one a line, `#` begins a comment."""
    if file is None:
        return ()
    try:
        lines = file.expanduser().read_text("utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"the key file cannot be read: {error.strerror}", where=str(file)) from error
    keys = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not keys:
        raise UsageError("the key file has no key", where=str(file), remedy="write one key a line")
    if any(len(key) < 16 for key in keys):
        raise UsageError("a key has fewer than 16 characters", where=str(file), remedy="use long random keys")
    return keys
