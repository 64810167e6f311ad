"""Words that find a node in the page's search although its name lacks them."""

from typing import Any

from comfy_api.latest import io


def search_words(*words: str) -> dict[str, Any]:
    """The schema's keyword for further words to search by; empty where this ComfyUI knows names alone (as 0.3.75)."""
    return {"search_aliases": list(words)} if "search_aliases" in io.Schema.__dataclass_fields__ else {}
