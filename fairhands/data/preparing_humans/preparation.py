"""The whole way from datasets to prepared people, stage by stage; each goes on where it was stopped."""

from collections.abc import Sequence

from ...training.processes import device
from ..depth import depth_estimator
from ..preparing.originals import read_originals
from ..preparing.records import Picture
from ..preparing.stages import Share, Stages
from . import finding, maps
from .filtering import choose
from .output import Person, counts, write_people
from .records import REGIONS, Made, Seen
from .report import PeopleReport
from .settings import Settings


class Preparation:
    """Makes prepared people as the settings say; every process of a run does the same, and its share of the pieces.

    Args:
        settings: what is chosen.
        share: which process this is.
    """

    def __init__(self, settings: Settings, share: Share) -> None:
        self.settings = settings
        self.share = share
        self.report = PeopleReport()
        self.stages = Stages(settings.work_folder, share, self.report)

    def run(self, command: str) -> dict[str, int]:
        """Make what is not there yet, and write it.

        Args:
            command: what this was started with, for the manifest.

        Returns: counts of what was written.

        Raises:
            ValueError: a dataset or model cannot be used, or (NothingLeft) no picture is left.
            OSError: something could not be written; the finished pieces are kept.
        """
        people = self._chosen(self._found(read_originals(self.settings.datasets, self.report.problems)))
        captions = self.stages.captions([seen.picture for seen in people], self.settings.captions)
        texts = {key: caption.text for key, caption in captions.items()}
        people = [seen for seen in people if seen.picture.key in texts]
        if not people:
            raise self.report.nothing_left("picture")
        made = {"pose": self._poses(people), "depth": self._depths(people)}
        written = [_person(seen, texts[seen.picture.key], made) for seen in people]
        self.report.counts["written"] = counts(written)
        if self.share.process == 0:
            write_people(written, self.report, self.settings, command)
        self.share.wait()
        return self.report.counts["written"]

    def _found(self, pictures: Sequence[Picture]) -> list[Seen]:
        """The pictures that could be read, with their faces and hands."""
        chosen = {"faces": self.settings.faces.model_dump(mode="json"), "hands": self.settings.hands.model_dump()}
        pieces = self.stages.pieces("found", chosen, finding.PICTURES_IN_PIECE)
        finding.find_people("faces and hands", pictures, self.settings, pieces)
        self.stages.finish(pieces)
        found = finding.found_people(pieces, pictures)
        with_region = {f"with a {region}": sum(region in seen.regions for seen in found) for region in REGIONS}
        self.report.counts["pictures"] = {"pictures": len(pictures), "readable": len(found), **with_region}
        return found

    def _chosen(self, people: Sequence[Seen]) -> list[Seen]:
        """What the filters leave."""
        chosen = choose(people, self.settings.filters)
        self.report.counts |= chosen.counts()
        self.report.dropped += chosen.dropped()
        return chosen.pictures.kept

    def _poses(self, people: Sequence[Seen]) -> dict[str, Made]:
        """A picture of the poses for each that has some."""
        chosen, given = self.settings.pose, self.settings.given == "pose"
        if not chosen.sources:
            return {}
        pieces = self.stages.pieces("pose", {**chosen.model_dump(), "given": given}, maps.PICTURES_IN_PIECE)
        maps.make_pose_maps("poses", people, chosen, given, pieces)
        self.stages.finish(pieces)
        return maps.maps_of(pieces)

    def _depths(self, people: Sequence[Seen]) -> dict[str, Made]:
        """A picture of the depth for each, where a model or the datasets give it."""
        chosen, given = self.settings.depth, self.settings.given == "depth"
        if chosen.model is None and not given:
            return {}
        asked = chosen.model_dump(exclude={"allow_download"})
        pieces = self.stages.pieces("depth", {**asked, "given": given}, maps.PICTURES_IN_PIECE)
        name, near, download = chosen.model, chosen.near, chosen.allow_download
        load = None if name is None else lambda: depth_estimator(name, near, device(), download)
        maps.make_depth_maps("depth", people, load, given, pieces)
        self.stages.finish(pieces)
        return maps.maps_of(pieces)


def _person(seen: Seen, text: str, made: dict[str, dict[str, Made]]) -> Person:
    key = seen.picture.key
    return Person(seen, text, {kind: some[key] for kind, some in made.items() if key in some})
