"""Adapters that come and go while requests run."""

from __future__ import annotations

import asyncio
import shutil

import httpx
import numpy as np
import pytest
from tests.serve.conftest import ADMIN

ASK = [{"role": "user", "content": "Describe the blue mug."}]
HEADERS = {"Authorization": f"Bearer {ADMIN}"}


def _post(server, path: str, **body):
    return httpx.post(f"{server.url}/v1/{path}", json=body, headers=HEADERS, timeout=60)


def _text(client, model: str) -> str:
    return client.chat.completions.create(model=model, messages=ASK, max_tokens=12).choices[0].message.content


def test_an_adapter_is_loaded_used_replaced_and_unloaded(server, client, tiny_loras, slotted_engine):
    assert _post(server, "load_lora_adapter", lora_name="guest", lora_path="rank1").status_code == 200
    assert _text(client, "guest") == _text(client, "rank1")
    twice = _post(server, "load_lora_adapter", lora_name="guest", lora_path="plain")
    assert twice.status_code == 400
    assert twice.json()["error"]["code"] == "duplicate_adapter"
    replaced = _post(server, "load_lora_adapter", lora_name="guest", lora_path="plain", load_inplace=True)
    assert replaced.status_code == 200
    # The prompt's KV of the first weights must not serve the second (vllm#30931).
    assert _text(client, "guest") == _text(client, "plain")
    assert _post(server, "unload_lora_adapter", lora_name="guest").status_code == 200
    assert _post(server, "unload_lora_adapter", lora_name="guest").status_code == 404
    assert "guest" not in slotted_engine.adapters.names()


def test_the_bundles_own_adapters_cannot_be_replaced_or_unloaded(server):
    taken = _post(server, "load_lora_adapter", lora_name="plain", lora_path="rank1", load_inplace=True)
    assert taken.status_code == 400
    assert _post(server, "unload_lora_adapter", lora_name="plain").status_code == 404


@pytest.mark.parametrize("path", ["/etc", "..", "../..", "no-such", "plain/../..", "plain\0"])
def test_only_folders_inside_those_allowed_are_read(server, path):
    assert _post(server, "load_lora_adapter", lora_name="guest", lora_path=path).status_code in (400, 403)


def test_a_link_out_of_the_folder_is_not_followed(server, tiny_loras, tmp_path):
    shutil.copytree(tiny_loras["plain"], tmp_path / "outside")
    link = tiny_loras["plain"].parent / "link"
    link.symlink_to(tmp_path / "outside")
    try:
        assert _post(server, "load_lora_adapter", lora_name="guest", lora_path="link").status_code == 403
    finally:
        link.unlink()


def test_an_adapter_without_effect_or_for_another_base_is_refused(server, tiny_loras, client):
    from safetensors.numpy import load_file, save_file

    source = tiny_loras["plain"]
    for name, change in (
        ("zero", lambda key, value: np.zeros_like(value)),
        ("wide", lambda key, value: np.ones((value.shape[0], 2 * value.shape[1]), value.dtype)),
    ):
        folder = source.parent / name
        shutil.copytree(source, folder)
        tensors = load_file(folder / "adapter_model.safetensors")
        save_file({key: change(key, value) for key, value in tensors.items()}, folder / "adapter_model.safetensors")
        answer = _post(server, "load_lora_adapter", lora_name="guest", lora_path=name)
        shutil.rmtree(folder)
        assert answer.status_code == 400, (name, answer.text)
    assert _text(client, "plain")


def test_traffic_goes_on_while_adapters_come_and_go(server, client, slotted_engine):
    import openai
    from tests.serve.conftest import KEY

    expected = {name: _text(client, name) for name in ("plain", "rank1")}

    async def traffic() -> list[tuple[str, str]]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as asking:

            async def ask(name: str) -> tuple[str, str]:
                reply = await asking.chat.completions.create(model=name, messages=ASK, max_tokens=12)
                return name, reply.choices[0].message.content or ""

            found: list[tuple[str, str]] = []
            for round in range(6):
                work = [ask(name) for name in ("plain", "rank1", "plain", "rank1")]
                change = asyncio.to_thread(
                    _post, server, "load_lora_adapter", lora_name=f"guest{round}", lora_path="some"
                )
                bad = asyncio.to_thread(_post, server, "load_lora_adapter", lora_name="bad", lora_path="no-such")
                *replies, loaded, refused = await asyncio.gather(*work, change, bad)
                assert loaded.status_code == 200
                assert refused.status_code == 403
                found += replies
            return found

    for name, text in asyncio.run(traffic()):
        assert text == expected[name]
    for round in range(6):
        assert _post(server, "unload_lora_adapter", lora_name=f"guest{round}").status_code == 200
