"""A dictionary of your own: a small top-k autoencoder of a layer, trained in minutes on texts like those it will be asked about.

python examples/dictionary/train.py smollm2 12.resid_post features.safetensors plain sentiment my-texts.txt
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace

import numpy as np
import torch

import broca
from broca.models.hooks import read_sites
from broca.models.tokens import Batch
from broca.models.unexplained_variance import text_tokens
from broca.organisms.dictionary import train_dictionary

N = 120
"""Texts of each source."""


@torch.no_grad()
def activations(lm: broca.LM, texts: list[str], site: broca.Site) -> np.ndarray:
    """What stands at a site at every token but the first of each text, ``(token, unit)``."""
    found: list[np.ndarray] = []

    def step(batch: Batch) -> None:
        kept = text_tokens(batch)
        with read_sites(lm.model, lm.anatomy, {site: lambda x: found.append(x[kept].float().numpy())}, stop=True):
            lm.call(batch)

    for _ in lm.each(lm.tokenize(texts, chat="never"), step):
        pass
    return np.concatenate(found)


def main(model: str, site: str, out: str, *sources: str) -> None:
    lm, place = broca.LM.load(model), broca.Site.parse(site)
    every = [text.text for source in sources or ("plain",) for text in broca.texts(source, n=N)]
    texts = list(dict.fromkeys(every))
    rows = activations(lm, texts, place)
    print(f"{len(texts)} texts, {len(rows):,} tokens")
    made, fit = train_dictionary(rows, place, features=1024, k=24, steps=800, model=lm.fingerprint)
    about = {"name": f"{model}-{site}", "texts": list(sources), **asdict(fit)}
    print(replace(made, about=about).save(out), asdict(fit))


if __name__ == "__main__":
    main(*sys.argv[1:])
