"""The whole way from datasets to packed pairs, stage by stage; each goes on where it was stopped."""

from collections.abc import Sequence

from . import cropping, hands
from .estimate_crops import cut_estimates
from .estimates import ESTIMATES_IN_PIECE, EstimateSettings, Reconstruction, estimates_of, make_estimates
from .fakes import FAKES_IN_PIECE, Caption, fakes_of, make_fakes
from .filters import filtered, without_duplicates
from .models import Base
from .originals import read_originals
from .output import write_output
from .packing import counts, paired
from .records import Crop, Found, Kind, Picture
from .report import Report
from .settings import Settings
from .stages import Share, Stages

Captioned = tuple[Picture, str]

DETECTED = {"boxes": "detected"}  # nobody annotated what a base model made


class Preparation:
    """Makes hand pairs as the settings say; every process of a run does the same, and its share of the pieces.

    Args:
        settings: what is chosen.
        share: which process this is.
    """

    def __init__(self, settings: Settings, share: Share) -> None:
        self.settings = settings
        self.share = share
        self.report = Report[Crop]()
        self.stages = Stages(settings.work_folder, share, self.report)
        self.base = Base(settings.fakes) if settings.fakes.base is not None else None

    def run(self, command: str) -> dict[str, int]:
        """Make what is not there yet, and pack it.

        Args:
            command: what this was started with, for the manifest.

        Returns: counts of what was packed.

        Raises:
            ValueError: a dataset or model cannot be used, or (NothingLeft) no crop is left.
            OSError: something could not be written; the finished pieces are kept.
        """
        originals = read_originals(self.settings.datasets, self.report.problems)
        crops = self._hands("real", originals)
        originals = _shown(originals, crops)
        texts = self._captions(originals)
        if self.base is not None:
            fakes = self._fakes(self.base, originals, texts)
            crops = self._packable([*crops, *self._hands("fake", fakes)])
            shown = [(picture, texts.get(picture.pair, "")) for picture in _shown([*originals, *fakes], crops)]
            estimates = self._estimates(self.base, shown, crops) if self.settings.estimates.each else []
            crops = self._alike(self.base, shown, crops) + estimates
        if not crops:
            raise self.report.nothing_left("hand")
        self.report.kept = crops
        self.report.counts["packed"] = counts(crops)
        if self.share.process == 0:
            write_output(crops, texts, self.report, self.settings, command)
        self.share.wait()
        return self.report.counts["packed"]

    def _hands(self, kind: Kind, pictures: Sequence[Picture]) -> list[Crop]:
        """The hands of pictures that the filters leave."""
        found = self._found(kind, pictures)
        with_hands = [(picture, found[picture.key]) for picture in pictures if found.get(picture.key)]
        pieces = self.stages.pieces(f"{kind}/crops", self.settings.crops.model_dump(), cropping.PICTURES_IN_PIECE)
        cropping.cut_crops(f"{kind} hands: cutting", with_hands, self.settings.crops, pieces)
        self.stages.finish(pieces)
        chosen = self.settings.filters
        result = filtered(cropping.crops_of(pieces, self.settings.work_folder), chosen.filters())
        result = without_duplicates(result, lambda crop: crop.hash, chosen.duplicates)
        self.report.counts[f"{kind} hands"] = result.counts()
        self.report.dropped += result.dropped
        return result.kept

    def _found(self, kind: Kind, pictures: Sequence[Picture]) -> dict[str, list[Found]]:
        """The hands of each picture that could be read."""
        settings = self.settings.hands if kind == "real" else self.settings.hands.model_copy(update=DETECTED)
        pieces = self.stages.pieces(f"{kind}/hands", settings.result_of(), hands.PICTURES_IN_PIECE)
        hands.find_hands(f"{kind} hands: finding", pictures, settings, pieces)
        self.stages.finish(pieces)
        found = hands.found_hands(pieces)
        self.report.counts[f"{kind} pictures"] = {
            "pictures": len(pictures),
            "readable": len(found),
            "with a hand": sum(bool(boxes) for boxes in found.values()),
            "hands": sum(len(boxes) for boxes in found.values()),
        }
        return found

    def _captions(self, originals: Sequence[Picture]) -> dict[str, str]:
        """A caption for each pair that one is found for."""
        captions = self.stages.captions(originals, self.settings.captions)
        return {picture.pair: captions[picture.key].text for picture in originals if picture.key in captions}

    def _fakes(self, base: Base, originals: Sequence[Picture], texts: dict[str, str]) -> list[Picture]:
        """The base model's pictures of the captions."""
        settings = self.settings.fakes.settings()
        pieces = self.stages.pieces("fake/pictures", {**settings.result_of(), **base.result_of()}, FAKES_IN_PIECE)
        captions = [Caption(one.pair, texts[one.pair]) for one in originals if one.pair in texts]
        make_fakes("fakes", base.load, captions, self.settings.fakes.each, settings, pieces)
        self.stages.finish(pieces)
        return fakes_of(pieces)

    def _estimates(self, base: Base, shown: Sequence[Captioned], crops: Sequence[Crop]) -> list[Crop]:
        """The crops once more, out of the base model's estimates of the pictures."""
        return self._seen("estimates", base, shown, crops, self.settings.estimates.settings())

    def _alike(self, base: Base, shown: Sequence[Captioned], crops: list[Crop]) -> list[Crop]:
        """The crops, the real ones out of pictures that went through the base model's autoencoder, as fakes did."""
        if not self.settings.fakes.alike:
            return crops
        real = [crop for crop in crops if crop.kind == "real"]
        pictures = {crop.picture for crop in real}
        originals = [(picture, text) for picture, text in shown if picture.key in pictures]
        settings = Reconstruction(self.settings.fakes.batch)
        fakes = [crop for crop in crops if crop.kind == "fake"]
        return self._seen("real/alike", base, originals, real, settings) + fakes

    def _seen(
        self,
        stage: str,
        base: Base,
        shown: Sequence[Captioned],
        crops: Sequence[Crop],
        settings: EstimateSettings | Reconstruction,
    ) -> list[Crop]:
        """The crops out of what the base model makes of their pictures."""
        pieces = self.stages.pieces(
            f"{stage}/pictures", {**settings.result_of(), **base.result_of()}, ESTIMATES_IN_PIECE
        )
        make_estimates(stage, base.load, shown, settings, pieces)
        self.stages.finish(pieces)
        cut = self.stages.pieces(f"{stage}/crops", self.settings.crops.model_dump(), ESTIMATES_IN_PIECE)
        cut_estimates(f"{stage}: cutting", estimates_of(pieces), crops, self.settings.crops, cut)
        self.stages.finish(cut)
        return cropping.crops_of(cut, self.settings.work_folder)

    def _packable(self, crops: list[Crop]) -> list[Crop]:
        """All crops, or those whose pair has both kinds."""
        if self.settings.pack.unpaired == "keep":
            return crops
        both = paired(crops)
        self.report.counts["pairs"] = {"hands with a counterpart": len(both), "without": len(crops) - len(both)}
        return both


def _shown(pictures: Sequence[Picture], crops: Sequence[Crop]) -> list[Picture]:
    """The pictures that crops are left of."""
    shown = {crop.picture for crop in crops}
    return [picture for picture in pictures if picture.key in shown]
