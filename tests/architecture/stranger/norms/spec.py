"""How large is what each head hands to its output projection?"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

import broca
from broca import specs


class Norms(specs.Spec):
    """Rank heads by the norm of z, what they hand to the output projection."""

    kind: Literal["norms"] = "norms"
    contrast: str | broca.Contrast = "belief"
    """Whose stimuli are shown."""
    percent: Annotated[
        specs.Percent, specs.Sentence("selection", "The {} % of heads with the largest z were selected.")
    ] = 10.0
    """Share of the heads to select."""
    chat: specs.Chat = "auto"
    """Whether to use the model's chat template."""

    @cached_property
    def stimuli(self) -> broca.Contrast:
        return self.contrast if isinstance(self.contrast, broca.Contrast) else broca.contrast(self.contrast)

    def data_fingerprints(self) -> dict[str, str]:
        return {"contrast": self.stimuli.fingerprint}
