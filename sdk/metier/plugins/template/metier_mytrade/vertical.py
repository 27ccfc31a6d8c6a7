"""The trade as one object: tasks, adapters, recipes, checks, samples."""

from pathlib import Path

from metier.contracts import Lora, Recipe, Vertical, samples_in
from metier.data import TableAdapter

from metier_mytrade.checks import CHECKS
from metier_mytrade.task import title

_HERE = Path(__file__).parent

articles = TableAdapter(
    "articles",
    title,
    columns={"Body": "text", "Headline": "title", "正文": "text", "标题": "title"},
    example=_HERE / "examples" / "articles.csv",
)

vertical = Vertical(
    name="mytrade",
    version="0.1.0",
    sdk=">=0.1,<0.2",
    tasks=(title,),
    data_adapters=(articles,),
    checks=CHECKS,
    recipes={title.name: Recipe(epochs=4, lora=Lora(rank=8, alpha=16), max_length=512)},
    samples=samples_in(_HERE / "samples", "mytrade", licence="CC0-1.0"),
)
