"""An intervention of your own: scale a site's activations, and see what it does to an ability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import broca
from broca.models.hooks import edit_sites
from broca.scoring import Likelihood, summarise


@dataclass(frozen=True)
class Scale:
    """Multiply everything at a site by a factor."""

    site: broca.Site
    factor: float

    @property
    def fingerprint(self) -> str:
        return f"scale {self.site} {self.factor}"

    reads_prompt = False  # it does the same to every token, wherever the prompt ends

    @contextmanager
    def apply(self, lm: broca.LM) -> Iterator[Mapping[broca.Site, int]]:
        with edit_sites(lm.model, lm.anatomy, {self.site: lambda x: x * self.factor}) as fired:
            yield fired


def main() -> None:
    lm = broca.LM.load("beliefs")
    items = broca.benchmark("beliefs/false-belief", n=40)
    for factor in (1.0, 0.5, 0.0):
        with lm.under(Scale(broca.Site(1, "attn_out"), factor)):
            print(factor, summarise(Likelihood()(lm, items)).row(0, named=True)["accuracy"])


if __name__ == "__main__":
    main()
