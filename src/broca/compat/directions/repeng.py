"""The direction that repeng fits by default, so that its numbers can be had again. It is not what one should fit.

repeng (0.3 to 0.5) takes the first principal component of the differences of pairs, *centred*: what all differences share, which is the
shift that is looked for, is taken away first. It is right only where pairs differ by more or less of the same. `fit_direction` takes the
mean difference, or the component of differences that are not centred (``method="pca"``).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from broca.errors import StimulusError
from broca.evidence.directions import contrast_values
from broca.items import Contrast
from broca.models.lm import LM
from broca.sites import Site
from broca.units.direction import Direction

Vectors = Mapping[Site, NDArray[np.float64]]


def repeng_component(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unit vector of repeng's ``pca_diff``, ``(unit,)``, with the sign that most pairs have.

    Args:
        positive: (pair, unit).
        negative: (pair, unit).
    """
    differences = np.asarray(positive, np.float64) - np.asarray(negative, np.float64)
    vector = np.linalg.svd(differences - differences.mean(0), full_matrices=False)[2][0]
    return vector if (differences @ vector > 0).mean() >= 0.5 else -vector


def repeng_direction(lm: LM, contrast: Contrast) -> Direction:
    """What repeng would fit on a paired contrast, at the outputs of blocks 1 to L - 2, where it reads the same space.

    Its vector of the last block is fitted on the state behind the final norm and is left out here.

    Raises:
        StimulusError: if the contrast is not paired.
    """
    if not contrast.paired:
        raise StimulusError(
            f"repeng takes differences of pairs, and {contrast.name!r} is not paired. Use fit_direction."
        )
    warnings.warn(
        "repeng's direction is the component of differences that are centred, without the shift that they share. fit_direction fits the "
        "mean difference.",
        stacklevel=2,
    )
    where = [Site(layer, "resid_post") for layer in range(1, lm.anatomy.n_layers - 1)]
    found = contrast_values(lm, contrast, where, "last", chat="never")
    vectors = {site: repeng_component(*found.rows(site)) for site in where}
    about = {"name": contrast.name, "method": "repeng", "contrast": contrast.fingerprint, "fitted_on": lm.name}
    return Direction(vectors, rho=found.rho, model=lm.fingerprint, about=about)
