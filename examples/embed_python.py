"""Ten lines that put a bundle into a Python product: numpy, onnxruntime and tokenizers, no torch.

python examples/embed_python.py BUNDLE ["name[Harrow mug], material[stoneware]"]
"""

import sys

from metier import Engine

folder = sys.argv[1] if len(sys.argv) > 1 else "quickstart/bundle"
facts = sys.argv[2] if len(sys.argv) > 2 else "name[Harrow mug], material[stoneware], capacity[350 ml]"

with Engine(folder) as engine:
    print(engine.run("adcopy.describe", {"facts": facts})["text"])
