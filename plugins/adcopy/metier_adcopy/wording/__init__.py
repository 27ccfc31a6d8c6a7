"""How copy says things: words, quantities, claims and near wordings that can be compared. Knows no rules and no tasks."""
