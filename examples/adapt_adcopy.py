"""What `metier adapt`, `evaluate` and `export` do, as a program of your own: adapt, measure, ship.

python examples/adapt_adcopy.py runs/program [--precision=int8] [--inputs=61] [lora.rank=16 base=./my-model …]
"""

import argparse
import sys
from pathlib import Path

from metier.adapt import adapt
from metier.bases import resolve
from metier.data.training import first_inputs, training_data
from metier.evaluate import evaluate, record_metrics, write_html
from metier.export import export
from metier.plugins import load_plugins
from metier.training import recipe_for

parser = argparse.ArgumentParser()
parser.add_argument("out", type=Path)
parser.add_argument("--precision")
parser.add_argument("--inputs", type=int, default=61, help="measure on this many")
parser.add_argument("recipe", nargs="*", help="KEY=VALUE of the recipe")
options = parser.parse_intermixed_args()

vertical, task = load_plugins().task("adcopy.describe")
recipe = recipe_for(vertical, task.name, overrides=options.recipe)
data = training_data(vertical, task, seed=recipe.seed)
base = resolve(recipe.base)

finetune = adapt(
    task,
    data.train,
    data.held_out,
    recipe,
    options.out / "run",
    base=base,
    progress=lambda p: print(f"\r{p.step}/{p.steps} loss {p.loss:.2f}", end="", file=sys.stderr),
)
held_out = first_inputs(data.held_out, options.inputs)
evaluation = evaluate(
    task, held_out, base=base, finetune=finetune, train=data.train, checks=vertical.checks_for(task.name)
)
finetune = record_metrics(finetune, evaluation)
write_html(evaluation, options.out / "report.html")
bundle = export(finetune, options.out / "bundle", precision=options.precision, base=base)

for metric in evaluation.metrics:
    print(f"{metric.title}: {metric.values['base_zero_shot'].value:.1f} → {metric.values['fine_tune'].value:.1f}")
print(f"{options.out / 'report.html'}, {bundle.path}")
