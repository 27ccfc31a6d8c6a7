"""The same bundle through onnxruntime-genai, as a C#, Java or C++ product would use it: each adapter in turn.

    python examples/embed_genai.py BUNDLE [adcopy.describe] ["name[Harrow mug], material[stoneware]"]

BUNDLE comes from `metier export RUN --slots` and `metier bundle add`. The base answers first, without an adapter.
"""

import sys
from pathlib import Path

import onnxruntime_genai as genai

from metier.prompting.prompt import prompt_ids
from metier.runtime import open_bundle

bundle = open_bundle(Path(sys.argv[1]))
tasks = bundle.manifest.every_task
task = bundle.task(sys.argv[2]) if len(sys.argv) > 2 else tasks[0]
facts = sys.argv[3] if len(sys.argv) > 3 else "name[Harrow mug], material[stoneware], capacity[350 ml]"

ids = prompt_ids(
    bundle.tokenizer, task, {"facts": facts}
)  # a host in another language renders these with its own Jinja
model = genai.Model(str(bundle.path))
adapters = genai.Adapters(model)
for name in ["", *(entry.name for entry in bundle.manifest.adapters)]:
    params = genai.GeneratorParams(model)
    params.set_search_options(max_length=len(ids) + task.max_reply_tokens, do_sample=False)
    generator = genai.Generator(model, params)
    if name:
        adapters.load(str(bundle.path / "adapters" / name / f"{name}.onnx_adapter"), name)
        generator.set_active_adapter(adapters, name)
    generator.append_tokens(ids)
    reply: list[int] = []
    while not generator.is_done():
        generator.generate_next_token()
        reply.append(int(generator.get_next_tokens()[0]))
    ended = [token for token in reply if token not in bundle.tokenizer.eos_ids]
    print(f"{name or 'base'}: {bundle.tokenizer.decode(ended)}")
