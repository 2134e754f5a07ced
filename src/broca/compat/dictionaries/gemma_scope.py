"""Gemma Scope: ``params.npz`` of jump-ReLU autoencoders. The decoder's bias is never taken from the input, nothing is normalised.

Which site a file is of stands in the name of its repository alone (``-res`` is the output of a block, ``-mlp`` what the norm behind the
MLP writes, ``-att`` the heads' outputs), so that it has to be given.
"""

from __future__ import annotations

from pathlib import Path

from broca.compat.dictionaries.arrays import read_npz, take
from broca.errors import SelectionError
from broca.sites import Site
from broca.units.dictionary import Dictionary


def read_gemma_scope(path: Path, site: Site | None) -> Dictionary:
    """The dictionary in a file.

    Raises:
        SelectionError: if no site is given, the file is damaged, or its arrays do not fit each other.
    """
    if site is None:
        raise SelectionError(
            f"{path} does not say where it is. Give its site: site='12.resid_post', or --features 12.resid_post={path}; of Gemma Scope, "
            "-res is LAYER.resid_post, -mlp LAYER.mlp_out and -att LAYER.z."
        )
    arrays = {name.lower(): array for name, array in read_npz(path).items()}
    names = {"encoder": "w_enc", "decoder": "w_dec", "bias": "b_enc", "decoder_bias": "b_dec", "threshold": "threshold"}
    about = {"name": path.parent.name or path.stem, "path": str(path), "format": "gemma-scope"}
    return Dictionary("jumprelu", **take(arrays, path, **names), source=site, centred=False, about=about)
