"""An engine narrows a reply to its own input's list, whatever else is decoded in the batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.runtime import Engine


@pytest.fixture(scope="module")
def bundle(tiny_player, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from metier.export import export

    return export(tiny_player, tmp_path_factory.mktemp("player") / "bundle", precision="fp32").path


def test_each_of_many_answers_is_from_its_own_list(bundle: Path) -> None:
    scenes = [{"facts": "rain", "actions": [f"wave {n}", f"bow {n}"]} for n in range(8)]
    with Engine(bundle, rows=4, max_len=300) as engine:
        together = list(engine.run_many("tiny.act", scenes, temperature=3.0, seed=1))
        assert all(output["action"] in scene["actions"] for scene, output in zip(scenes, together, strict=True))
        assert engine.run("tiny.act", scenes[3])["action"] in scenes[3]["actions"]
        assert "".join(engine.stream("tiny.act", {"facts": "rain", "actions": ["挥手"]})) == '{"action": "挥手"}'
