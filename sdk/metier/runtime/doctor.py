"""Checks torch, ONNX Runtime, CUDA, cuDNN and the NVIDIA driver: installed or not, compatible or not, with a remedy.

torch is probed in a process of its own: this one never loads it.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import sys
from typing import Literal

from metier._install import install_command
from metier.contracts.schema import Data
from metier.decoding.device import CUDA, INSTALL_CUDA, cuda_missing, driver_version, remedy_for
from metier.decoding.onnx_runtime import ort

State = Literal["ok", "warn", "missing"]


class Row(Data):
    """One part of the stack."""

    what: str
    state: State
    detail: str
    remedy: str | None = None


class Diagnosis(Data):
    """What `metier doctor` found."""

    rows: tuple[Row, ...]
    cpu: bool
    """Whether bundles run on the CPU here."""
    cuda: bool
    """Whether bundles run on CUDA here."""


TORCH_PROBE = """
import json, torch
print(json.dumps({
    "version": torch.__version__, "cuda_build": torch.version.cuda, "cuda": torch.cuda.is_available(),
    "cudnn": torch.backends.cudnn.version(),
    "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
}))
"""

PROBE_SECONDS = 120
"""Importing torch from a cold disk takes up to a minute."""


def diagnose() -> Diagnosis:
    """Check every part; takes a few seconds, most of them torch's import in its own process."""
    missing = cuda_missing()
    driver = driver_version()
    rows = [
        Row(what="python", state="ok", detail=f"{platform.python_version()} on {platform.platform()}"),
        _onnxruntime(),
        _both_onnxruntimes(),
        _driver(driver),
        _cuda(missing),
        _torch(missing is None),
        *(_package(name, why) for name, why in PACKAGES.items()),
    ]
    return Diagnosis(rows=tuple(row for row in rows if row is not None), cpu=True, cuda=missing is None)


PACKAGES = {
    "llguidance": "json and label replies",
    "tokenizers": "every prompt",
    "transformers": "training and export",
    "peft": "training and export",
    "onnxruntime-genai-cuda": "export on Linux and Windows x86-64",
}


def _onnxruntime() -> Row:
    providers = ", ".join(name.removesuffix("ExecutionProvider") for name in ort.get_available_providers())
    return Row(what="onnxruntime", state="ok", detail=f"{ort.__version__} with {providers}")


def _both_onnxruntimes() -> Row | None:
    """onnxruntime and onnxruntime-gpu are one package under two names; each overwrites part of the other."""
    both = [name for name in ("onnxruntime", "onnxruntime-gpu") if _version(name)]
    if len(both) < 2:
        return None
    return Row(
        what="onnxruntime twice",
        state="warn",
        detail="onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files",
        remedy="pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu",
    )


def _driver(driver: str | None) -> Row:
    if driver is None:
        return Row(
            what="NVIDIA driver",
            state="missing",
            detail="no libcuda, or it finds no GPU",
            remedy="install NVIDIA's driver if this machine has a GPU; without one bundles run on the CPU",
        )
    return Row(what="NVIDIA driver", state="ok", detail=f"supports CUDA up to {driver}")


def _cuda(missing: str | None) -> Row:
    if missing is None:
        return Row(what="CUDA in onnxruntime", state="ok", detail="provider, CUDA and cuDNN libraries load")
    state: State = "warn" if CUDA in ort.get_available_providers() else "missing"
    return Row(what="CUDA in onnxruntime", state=state, detail=missing, remedy=remedy_for(missing))


def _torch(cuda_works: bool) -> Row:
    if _version("torch") is None:
        return Row(
            what="torch",
            state="missing",
            detail="not installed; bundles run without it",
            remedy=f"{install_command('train')} to train and export",
        )
    try:
        done = subprocess.run(
            [sys.executable, "-c", TORCH_PROBE], capture_output=True, text=True, timeout=PROBE_SECONDS, check=True
        )
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        last = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
        return Row(
            what="torch",
            state="warn",
            detail=f"{_version('torch')} is installed but does not load: {''.join(last)}",
            remedy="pip install --force-reinstall torch",
        )
    build = f"built for CUDA {found['cuda_build']}" if found["cuda_build"] else "CPU build"
    detail = f"{found['version']}, {build}" + (f", {found['device']}" if found["device"] else "")
    if found["cuda"] and not cuda_works:
        return Row(
            what="torch", state="warn", detail=f"{detail}: uses the GPU, onnxruntime does not", remedy=INSTALL_CUDA
        )
    if cuda_works and not found["cuda"]:
        return Row(
            what="torch",
            state="warn",
            detail=f"{detail}: onnxruntime uses the GPU, torch does not",
            remedy="install a CUDA build of torch from https://pytorch.org/get-started/locally to train on the GPU",
        )
    return Row(what="torch", state="ok", detail=detail)


def _package(name: str, why: str) -> Row:
    found = _version(name)
    if found is None:
        return Row(what=name, state="missing", detail=f"needed for {why}", remedy=install_command("train"))
    return Row(what=name, state="ok", detail=f"{found}, for {why}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
