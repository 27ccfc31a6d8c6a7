"""How copy says things: words, quantities, claims and near wordings to compare. Knows no rules, no tasks."""
