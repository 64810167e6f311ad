"""When guidance acts, and how large its step is."""

from dataclasses import dataclass

FIRST_TIMESTEP, LAST_TIMESTEP = 650.0, 150.0
# Size of a step at w = 1 and pure noise, in standard deviations of the latent.
UNIT_STEP = 0.1


@dataclass(frozen=True)
class Window:
    """The training timesteps (0..999, noisy to clean) at which guidance acts; both ends belong to it.

    Raises ValueError where `first` is smaller than `last`.
    """

    first: float = FIRST_TIMESTEP
    last: float = LAST_TIMESTEP

    def __post_init__(self) -> None:
        if self.first < self.last:
            raise ValueError(
                f"first timestep is {self.first:g} and last timestep is {self.last:g}: sampling goes from noisy (999) "
                "to clean (0), so the first must be the larger one; exchange them."
            )

    def contains(self, timestep: float) -> bool:
        """Whether guidance acts at that timestep."""
        return self.last <= timestep <= self.first


def step_size(w: float, noise_share: float) -> float:
    """Length of the visual step, in latent units per unit of normalised gradient.

    `noise_share`: standard deviation of the noise in the model's input of unit variance, 0..1; that is
    sqrt(1 - abar) of Universal Guidance (arXiv 2302.07121, eq. 6), or t of a flow model.
    """
    return w * UNIT_STEP * noise_share
