"""How much does each head write into the residual stream?"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from broca.items import Contrast
from broca.specs.fields import Chat, Percent
from broca.specs.spec import Spec
from broca.stimuli.contrasts import contrast as load_contrast


class Norms(Spec):
    """Rank heads by how much they write."""

    kind: Literal["norms"] = "norms"
    contrast: str | Contrast = "belief"
    """Whose stimuli are shown."""
    percent: Percent = 10.0
    """Share of the heads to select."""
    chat: Chat = "auto"
    """Whether to use the model's chat template."""

    @cached_property
    def stimuli(self) -> Contrast:
        return self.contrast if isinstance(self.contrast, Contrast) else load_contrast(self.contrast)

    def data_fingerprints(self) -> dict[str, str]:
        return {"contrast": self.stimuli.fingerprint}
