"""Ten lines that run a bundle in a Python product: numpy, onnxruntime and tokenizers, no torch.

    python examples/embed_python.py BUNDLE ["name[Harrow mug], material[stoneware]"]

A bundle of `metier export` gives one answer. A bundle of `metier export --slots` gives one per adapter: one base is in
memory, all rows are decoded together, and each row uses its own adapter.
"""

import sys

from metier import Engine

folder = sys.argv[1] if len(sys.argv) > 1 else "quickstart/bundle"
facts = sys.argv[2] if len(sys.argv) > 2 else "name[Harrow mug], material[stoneware], capacity[350 ml]"

with Engine(folder) as engine:
    task = engine.bundle.manifest.every_task[0].name
    names = engine.adapters.names()
    running = [engine.submit(engine.request(task, {"facts": facts}, adapter=name)) for name in names or [None]]
    for name, generation in zip(names or [""], running, strict=True):
        print(f"{name}: {generation.result()}" if name else generation.result())
