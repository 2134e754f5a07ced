"""The same study in an untrained twin: its own answers that turned, as cases of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from broca.cache.cache import no_cache, silent
from broca.instruments.perturb.answers import answers
from broca.instruments.perturb.cases import flipped_pairs
from broca.instruments.perturb.grid import Patches
from broca.instruments.perturb.stimuli import StudyTexts, Way
from broca.interventions.patching import Cell
from broca.models.lm import LM
from broca.models.tokens import Chat
from broca.sites import Site


@dataclass(frozen=True, slots=True, eq=False)
class TwinCases:
    """How cases come about: what is asked, and which answers count as turned."""

    texts: StudyTexts
    way: Way
    chat: Chat
    max_new_tokens: int
    most: int
    threshold: float
    """Logits that a case must have lost."""
    seed: int

    def of(self, twin: LM, name: str, like: Patches) -> Patches:
        """The twin's own cases; none where no answer turned.

        Cases are chosen by what the network says. Those of the model would be chosen for what it lost, and no other network lost that.

        Args:
            twin: untrained.
            name: what its patches are remembered by.
            like: the model's.
        """
        texts = replace(self.texts, controls=())
        how = {"chat": self.chat, "max_new_tokens": self.max_new_tokens}
        said = answers(twin, texts, self.way, **how, cache=no_cache, progress=silent)  # type: ignore[arg-type]
        cases, _ = flipped_pairs(twin, texts, said, way=self.way, chat=self.chat, most=self.most, seed=self.seed)
        made = replace(like, lm=twin, cases=cases, name=name, progress=silent)
        if not cases:
            return made
        last = Site(twin.anatomy.n_layers - 1, "resid_post")
        found = made.run("looking at losses", [one.case for one in cases], [Cell("edited", {last: None})])
        lost = found["donor"][:, 0] - found["before"][:, 0]
        return replace(made, cases=tuple(cases[i] for i in np.flatnonzero(lost > self.threshold)))
