"""What stands at a site while one text is read: every token's values, with the tokens beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import polars as pl
from torch import Tensor

from broca.capture.activations import every_site
from broca.capture.loop import look_up
from broca.errors import SiteUnavailable
from broca.markup import MOST, table
from broca.models.lm import LM
from broca.models.rendering import Prompt
from broca.sites import PICTURE_KINDS, Site
from broca.specs.fields import Chat

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True, eq=False, repr=False)
class TextActivations:
    """The values of one text at one site."""

    site: Site
    tokens: tuple[str, ...]
    """As text, those of special tokens by name."""
    values: Tensor
    """``(token, unit)``, float32 on the CPU."""

    def frame(self) -> pl.DataFrame:
        """One row a token and unit: position, token, unit, value."""
        n, width = self.values.shape
        return pl.DataFrame(
            {
                "position": [i for i in range(n) for _ in range(width)],
                "token": [token for token in self.tokens for _ in range(width)],
                "unit": list(range(width)) * n,
                "value": self.values.flatten().numpy(),
            }
        )

    def norms(self) -> pl.DataFrame:
        """One row a token: position, token, norm (L2, of its values), and the unit that is largest in size."""
        return pl.DataFrame(
            {
                "position": range(len(self.tokens)),
                "token": self.tokens,
                "norm": self.values.norm(dim=1).numpy(),
                "largest": self.values.abs().argmax(1).numpy(),
            }
        )

    def plot(self) -> alt.LayerChart:
        """The norm of each token."""
        from broca.page.charts import token_bars

        return token_bars(self.norms().rename({"norm": "value"}), f"Norm at {self.site}", "norm (L2)")

    def __repr__(self) -> str:
        n, width = self.values.shape
        return f"TextActivations({self.site}: {n} tokens of {width} units)"

    def _repr_html_(self) -> str:
        norms = self.norms()
        return table(repr(self), norms.columns, norms.head(MOST).rows(), n=len(norms))


@overload
def capture_text(lm: LM, text: Prompt, sites: str | Site, *, chat: Chat = "auto") -> TextActivations: ...
@overload
def capture_text(
    lm: LM, text: Prompt, sites: Sequence[str | Site], *, chat: Chat = "auto"
) -> dict[Site, TextActivations]: ...
def capture_text(lm: LM, text: Prompt, sites: str | Site | Sequence[str | Site], *, chat: Chat = "auto") -> Any:
    """What stands at one or several sites while a text is read, at every token; in a notebook ``broca.capture(lm, text, site)``.

    Args:
        lm: the model, with whatever is in force.
        text: a prompt or a chat.
        sites: such as ``"12.resid_post"``, or a list of them.
        chat: whether to use the model's chat template.

    Returns:
        the values at the site; by site where a list is given.

    Raises:
        SiteUnavailable: if the model has no such site, or it holds no tokens of a text.
        GuardError: if the text does not run a site.
    """
    wanted = [sites] if isinstance(sites, str | Site) else list(sites)
    places = [Site.of(each) for each in wanted]
    if odd := [str(site) for site in places if site.kind in PICTURE_KINDS]:
        raise SiteUnavailable(f"{', '.join(odd)}: patches of pictures are no tokens of a text. Look at another site.")
    (tokens,) = lm.tokenize([text], chat=chat)
    batch = lm.pad_batch([tokens])
    found = every_site(look_up(lm, batch, places, lambda values: values[0]), places, batch)
    pieces = lm.pieces(tokens)
    made = {site: TextActivations(site, pieces, found[site]) for site in places}
    return made[places[0]] if isinstance(sites, str | Site) else made
