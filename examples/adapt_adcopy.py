"""What `metier adapt`, `evaluate` and `export` do, as a program of your own: adapt, measure, ship.

    python examples/adapt_adcopy.py runs/program [BASE] [KEY=VALUE …]
"""

import sys
from pathlib import Path

from metier.adapt import adapt, recipe_for
from metier.bases import resolve
from metier.data.training import training_data
from metier.evaluate import evaluate, record_metrics, write_html
from metier.export import export
from metier.plugins import load_plugins

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/program")
overrides = sys.argv[2:]  # such as lora.rank=16 or base=./my-model

vertical, task = load_plugins().task("adcopy.describe")
recipe = recipe_for(vertical, task.name, overrides=overrides)
data = training_data(vertical, task, seed=recipe.seed)
base = resolve(recipe.base)

finetune = adapt(
    task,
    data.train,
    data.held_out,
    recipe,
    out / "run",
    base=base,
    progress=lambda p: print(f"\r{p.step}/{p.steps} loss {p.loss:.2f}", end="", file=sys.stderr),
)
evaluation = evaluate(
    task, data.held_out, base=base, finetune=finetune, train=data.train, checks=vertical.checks_for(task.name)
)
finetune = record_metrics(finetune, evaluation)
write_html(evaluation, out / "report.html")
bundle = export(finetune, out / "bundle", precision="int4", base=base)

for metric in evaluation.metrics:
    print(f"{metric.title}: {metric.values['base_zero_shot'].value:.1f} → {metric.values['fine_tune'].value:.1f}")
print(f"{out / 'report.html'}, {bundle.path}")
