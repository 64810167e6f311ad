"""What is wrong with the settings of a preparation of people, said before any long work."""

from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES

from ...people.prepared import KIND
from ..preparing.checks import check_captions, check_output, check_sources
from .finding import detectors
from .settings import DepthSettings, Settings


def check(settings: Settings) -> None:
    """Look for what would stop a preparation later.

    Raises:
        ValueError, OSError: something would; in one sentence.
    """
    check_sources(settings)
    detectors(settings)
    check_captions(settings.captions)
    _check_depth(settings.depth)
    check_output(settings, KIND, KIND)


def _check_depth(table: DepthSettings) -> None:
    if table.model is None:
        return
    try:
        config = AutoConfig.from_pretrained(table.model, local_files_only=not table.allow_download)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"depth.model is {table.model}, which is neither a folder of transformers nor a name on the hub that was "
            f"fetched or may be (depth.allow_download): {reason}"
        ) from error
    if config.model_type not in MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES:
        raise ValueError(f"depth.model is {table.model}, a model of the kind {config.model_type}: it knows no depth.")
