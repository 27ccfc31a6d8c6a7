"""How copy says things: words, quantities, claims and near wordings to compare. It does not know rules or tasks."""
