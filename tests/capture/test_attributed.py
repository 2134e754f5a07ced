"""Attribution of aligned pairs: against single texts and autograd, and against patches so small that it is exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.zoo import lm as tiny

from broca.capture.metrics import LogitDifference
from broca.capture.patch_attribution import Lent, attribute_patches
from broca.errors import StimulusError
from broca.sites import Site

CLEAN = ["add up one and two", "give the gap of both", "sum it"]
TYPED = ["ad up one and two", "give the gapp of both", "smu it"]
PLACES = [
    {"word": [(1, 1), (3, 2)], "end": [(18, 17)]},
    {"word": [(10, 10), (11, 11), (12, 13)], "end": [(20, 21)]},
    {"word": [(1, 1), (2, 2)], "end": [(6, 6)], "rest": [(4, 4)]},
]
METRIC = LogitDifference([5, 6, 7], [30, 31, 32])


def groups(lm) -> dict[Site, int]:
    return {
        Site(0, "resid_post"): 1,
        Site(1, "z"): lm.anatomy.n_heads,
        Site(2, "mlp_act"): lm.anatomy.width(Site(2, "mlp_act")),
    }


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_equals_autograd_on_single_texts(name):
    lm = tiny(name)
    runs, donors = lm.tokenize(TYPED), lm.tokenize(CLEAN)
    found = attribute_patches(lm, [Lent(*each) for each in zip(runs, donors, PLACES, strict=True)], groups(lm), METRIC)
    for row, (run, donor) in enumerate(zip(runs, donors, strict=True)):
        for site, n in groups(lm).items():
            tap = lm.anatomy.tap(site)
            module = lm.model.get_submodule(tap.module)
            held = {}

            def keep(value, name="donor", held=held):
                held[name] = value
                if value.requires_grad:
                    value.retain_grad()

            def hooked(name, tap=tap, module=module, keep=keep):
                if tap.side == "output":
                    return module.register_forward_hook(
                        lambda _m, _a, out: keep(out if torch.is_tensor(out) else out[0], name)
                    )
                return module.register_forward_pre_hook(lambda _m, args: keep(args[0], name))

            for name, tokens in (("donor", donor), ("run", run)):
                handle = hooked(name)
                logits = lm.model(input_ids=torch.tensor([tokens.ids])).logits[0, -1]
                handle.remove()
            (logits[METRIC.right[row]] - logits[METRIC.foil[row]]).backward()
            gradient = held["run"].grad[0]
            for at, pairs in PLACES[row].items():
                gain = sum((held["donor"][0, a] - held["run"][0, b]) * gradient[b] for a, b in pairs).detach()
                np.testing.assert_allclose(found[at][site][row], gain.view(n, -1).sum(1).numpy(), atol=2e-5, rtol=1e-4)
    assert np.isnan(found["rest"][Site(0, "resid_post")][:2]).all()


def test_units_that_cannot_be_cut_are_refused():
    lm = tiny("llama")
    with pytest.raises(StimulusError, match="equal groups"):
        attribute_patches(lm, [], {Site(0, "z"): 5}, METRIC)
