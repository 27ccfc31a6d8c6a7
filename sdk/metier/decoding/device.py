"""Opens an ONNX Runtime session on the requested device, and verifies that the device is really in use."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from metier.contracts import BundleError, DeviceError, ResourceError, UsageError
from metier.decoding.onnx_runtime import ort

Device = Literal["auto", "cpu", "cuda"]

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
CUDA_OPTIONS = {"arena_extend_strategy": "kSameAsRequested"}
"""Doubling, the default, lets several engines in one process grow without bound (microsoft/onnxruntime#29351)."""
INSTALL_CUDA = 'pip uninstall -y onnxruntime && pip install "onnxruntime-gpu[cuda,cudnn]"'
"""Brings ONNX Runtime's CUDA provider with the CUDA and cuDNN libraries it was built for."""


RESIDENT = frozenset({"cuda"})
"""Devices with memory of their own, where logits, KV and adapters stay. The same code runs on the CPU as well, as in
tests."""


@dataclass(frozen=True)
class DeviceSession:
    """An ONNX Runtime session and where it runs."""

    session: Any
    device: Literal["cpu", "cuda"]
    reason: str
    """Why this device, in one sentence."""
    captures: bool = False
    """Whether runs that have a number are captured as CUDA graphs, and replayed."""
    capture_error: str | None = None
    """Why ONNX Runtime cannot capture, if it was to."""

    @property
    def resident(self) -> bool:
        """Whether all that a step reads and writes stays on the device."""
        return self.device in RESIDENT


def open_session(
    model: Path, device: str, *, prefer_cuda: bool = False, threads: int | None = None, capture: bool = False
) -> DeviceSession:
    """A session of `model` on `device`.

    Args:
        model: path of an ONNX file.
        device: `cpu`, `cuda`, or `auto`, which takes CUDA if the graph was exported for it and CUDA works.
        prefer_cuda: whether the graph was exported for CUDA.
        threads: CPU threads for one step; None takes one per core.
        capture: let CUDA capture runs as graphs, if ONNX Runtime can.

    Raises:
        DeviceError: `cuda` was requested and is not active; names the missing library.
        UsageError: the device is unknown.
        BundleError: ONNX Runtime cannot read the model.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"there is no device {device}", remedy="devices: auto, cpu, cuda")
    if device == "cpu":
        return DeviceSession(_session(model, [CPU], threads), "cpu", "the device cpu was requested")
    if device == "auto" and not prefer_cuda:
        return DeviceSession(_session(model, [CPU], threads), "cpu", "auto: the bundle was exported for cpu")
    missing = cuda_missing()
    if missing is None:
        session, capture_error = _cuda_session(model, threads, capture)
        # A provider that fails to start is dropped by ONNX Runtime with a log line only: ask the session itself.
        if CUDA in session.get_providers():
            captures = capture and capture_error is None
            return DeviceSession(session, "cuda", f"{device}: the CUDA provider is active", captures, capture_error)
        missing = "ONNX Runtime dropped the CUDA provider when the session was made (no usable GPU or driver)"
        if device == "auto":
            return DeviceSession(session, "cpu", f"auto: cpu, because {missing}")
    if device == "cuda":
        raise DeviceError(f"the device cuda is not active: {missing}", remedy=remedy_for(missing))
    return DeviceSession(_session(model, [CPU], threads), "cpu", f"auto: cpu, because {missing}")


def cuda_missing() -> str | None:
    """Why ONNX Runtime's CUDA provider cannot work here; None if no reason is known."""
    if CUDA not in ort.get_available_providers():
        return f"the installed onnxruntime {ort.__version__} has no CUDA provider (it is the CPU build)"
    if hasattr(ort, "preload_dlls"):
        with _quiet():  # finds the nvidia-* wheels' libraries; prints what it cannot load; the error below is clearer
            ort.preload_dlls()
    if not hasattr(ort.OrtValue, "from_dlpack"):
        return f"the installed onnxruntime {ort.__version__} is too old to keep rows in a device's memory"
    provider = Path(ort.__file__).parent / "capi" / _provider_file()
    try:
        ctypes.CDLL(str(provider))
    except OSError as error:
        # The loader names the library: "libcublasLt.so.13: cannot open shared object file: …".
        # Undefined symbols of the provider itself are expected: ONNX Runtime resolves them when it loads it.
        if "undefined symbol" not in str(error):
            return f"the library {str(error).split(':')[0]} is missing"
    return None if driver_version() is not None else "there is no NVIDIA driver (libcuda)"


def driver_version() -> str | None:
    """Highest CUDA version that the NVIDIA driver supports, such as 13.0; None without a working driver."""
    for name in ("nvcuda.dll",) if os.name == "nt" else ("libcuda.so.1", "libcuda.so"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        version = ctypes.c_int()
        if library.cuInit(0) == 0 and library.cuDriverGetVersion(ctypes.byref(version)) == 0:
            return f"{version.value // 1000}.{version.value % 1000 // 10}"
    return None


def remedy_for(missing: str) -> str:
    """The remedy for a missing part of the CUDA stack."""
    if "driver" in missing:
        return "install NVIDIA's driver on a machine with a GPU, or use the device cpu; `metier doctor` has details"
    return f"{INSTALL_CUDA}   (or use the device cpu; `metier doctor` has details)"


def _cuda_session(model: Path, threads: int | None, capture: bool) -> tuple[Any, str | None]:
    """A session that captures, if it should and can; and the reason if ONNX Runtime cannot: a model with control flow,
    or with nodes that only the CPU computes."""
    capture_error = None
    if capture:
        try:
            return _session(model, [(CUDA, {**CUDA_OPTIONS, "enable_cuda_graph": "1"}), CPU], threads), None
        except BundleError as error:
            capture_error = error.what
    return _session(model, [(CUDA, CUDA_OPTIONS), CPU], threads), capture_error


def _session(model: Path, providers: list[Any], threads: int | None) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors are raised below, with a remedy
    options.intra_op_num_threads = threads or 0
    try:
        return ort.InferenceSession(str(model), options, providers=providers)
    except Exception as error:  # onnxruntime raises its own, unrelated classes
        text = str(error).splitlines()[0]
        if "alloc" in text.lower() or "memory" in text.lower():
            raise ResourceError(f"not enough memory for the model: {text}", where=str(model)) from error
        raise BundleError(
            f"ONNX Runtime {ort.__version__} cannot read the model: {text}", where=str(model), remedy="export it again"
        ) from error


def _provider_file() -> str:
    return "onnxruntime_providers_cuda.dll" if os.name == "nt" else "libonnxruntime_providers_cuda.so"


class _quiet:  # noqa: N801  a context manager, read as a verb
    """Discards what Python code prints."""

    def __enter__(self) -> None:
        import contextlib
        import io

        self._redirect = contextlib.redirect_stdout(io.StringIO())
        self._redirect.__enter__()

    def __exit__(self, *error: object) -> None:
        self._redirect.__exit__(None, None, None)
