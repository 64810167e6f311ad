"""A text that is shown at a node."""

from comfy_api.latest import ui
from comfy_execution.utils import get_executing_context
from server import PromptServer


def shown_text(text: str) -> ui.PreviewText:
    """Show a text at the node that is being executed; what it returns keeps the text with the run's outputs.

    Of texts among the outputs the page shows those of its own Preview as Text alone, so it is sent to the node too.
    """
    context = get_executing_context()
    if context is not None:
        PromptServer.instance.send_progress_text(text, context.node_id)
    return ui.PreviewText(text)
