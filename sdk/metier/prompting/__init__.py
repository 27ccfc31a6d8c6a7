"""A contract's text forms: its prompt from an input, its output from a reply. Runs no model."""

from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.prompting.prompt": "chat_ids messages prompt_ids",
        "metier.prompting.reply": "decode_reply encode_reply grammar_of",
    },
)
