"""The pip command that installs an extra of Metier on this machine, for remedies of errors.

It depends on how Metier was installed: from a checkout or from a package index.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
"""Root of the source tree, where this code runs from one; it then holds a pyproject.toml."""


def install_command(*extras: str) -> str:
    """The command that installs Metier with these extras, such as `pip install -e '/src/metier[train]'`."""
    return command_for(_origin(), extras)


def package_command(*packages: str) -> str:
    """The command that installs plugins by distribution name; those in the checkout are installed from there."""
    folders = [CHECKOUT / "plugins" / name.removeprefix("metier-") for name in packages]
    found = zip(packages, folders, strict=True)
    parts = [f"-e {_quoted(str(f))}" if (f / "pyproject.toml").is_file() else _quoted(name) for name, f in found]
    return f"pip install {' '.join(parts)}"


def command_for(origin: Mapping[str, Any] | None, extras: tuple[str, ...] = ()) -> str:
    """The command for an installation that came from `origin`.

    Args:
        origin: content of direct_url.json (PEP 610): a local folder, an archive or a version-control URL. None is an
            installation from a package index.
        extras: of the distribution, such as `train`.
    """
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    wanted = f"[{','.join(extras)}]" if extras else ""
    if origin is None:
        return f"pip install {_quoted(f'metier{wanted}')}"
    url = str(origin.get("url", ""))
    if "dir_info" in origin:
        folder = url2pathname(urlsplit(url).path)
        option = "-e " if origin["dir_info"].get("editable") else ""
        return f"pip install {option}{_quoted(f'{folder}{wanted}')}"
    if control := origin.get("vcs_info"):
        url = f"{control['vcs']}+{url}@{control['commit_id']}"
    return f"pip install {_quoted(f'metier{wanted} @ {url}')}"


def _quoted(requirement: str) -> str:
    """In single quotes where a shell would read the requirement otherwise; brackets are patterns in zsh."""
    if re.fullmatch(r"[\w./:\\-]+", requirement):
        return requirement
    return "'" + requirement.replace("'", "'\\''") + "'"


def _origin() -> Mapping[str, Any] | None:
    """Where the running code came from; None is a package index."""
    from importlib.metadata import PackageNotFoundError, distribution

    if (CHECKOUT / "pyproject.toml").is_file():
        return {"url": CHECKOUT.as_uri(), "dir_info": {"editable": True}}
    try:
        text = distribution("metier").read_text("direct_url.json")
        origin = json.loads(text) if text else None
    except (PackageNotFoundError, ValueError):
        return None
    return origin if isinstance(origin, dict) else None
