"""Localizing against the loop that published localizers run, on the language contrast, with the same t-map.

The loop is written from its description: one text a forward pass with its logits, hooks on every block cleared and set
for each text, every activation copied into a dense float32 buffer ``(1, token, unit, layer)``, its absolute mean over
tokens (BOS included) kept for every text, then SciPy's Welch test over the dense table. The preset `tl-abs` asks the
same of Localize.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import numpy as np
import torch
from ground import SIZES, Row, arguments, interleaved, model, named, ratio, settle, write
from scipy.stats import ttest_ind

from broca.instruments.localize.spec import Localize
from broca.models.lm import LM

BOUND = 5.0


class Loop:
    """One text at a time into dense tables."""

    def __init__(self, lm: LM, positive: Sequence[str], negative: Sequence[str]) -> None:
        self.model, self.tokenizer = lm.model, lm.tokenizer
        self.layers = lm.model.get_submodule(lm.anatomy.path)
        self.width = lm.anatomy.d_model
        self.sides = (positive, negative)

    def t(self) -> np.ndarray:
        """Welch's t, ``(unit, layer)``, in the float32 of the table."""
        return welch(self.table())

    def table(self) -> torch.Tensor:
        """The absolute mean over tokens of every activation, ``(side, text, unit, layer)``."""
        table = torch.zeros(2, len(self.sides[0]), self.width, len(self.layers))
        for side, some in enumerate(self.sides):
            for i, text in enumerate(some):
                table[side, i] = self.activations(text).mean(1)[0]
        return table.abs()

    def activations(self, text: str) -> torch.Tensor:
        """Every activation of one text, ``(1, token, unit, layer)``."""
        encoded = self.tokenizer(text, return_tensors="pt")
        dense = torch.zeros(1, encoded.input_ids.shape[1], self.width, len(self.layers))

        def keep(layer: int):
            def hook(_module: object, _args: object, output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
                dense[:, :, :, layer] = output if isinstance(output, torch.Tensor) else output[0]

            return hook

        for i, layer in enumerate(self.layers):
            layer._forward_hooks.clear()  # noqa: SLF001 - what the loop does
            layer.register_forward_hook(keep(i))
        with torch.no_grad():
            self.model(input_ids=encoded.input_ids, attention_mask=encoded.attention_mask)
        return dense

    def clean(self) -> None:
        for layer in self.layers:
            layer._forward_hooks.clear()  # noqa: SLF001 - what the loop left


def welch(table: torch.Tensor) -> np.ndarray:
    """SciPy's Welch t of both sides, in the table's precision."""
    return np.asarray(ttest_ind(table[0].numpy(), table[1].numpy(), axis=0, equal_var=False).statistic)


def floor(lm: LM, texts: Sequence[str]) -> Callable[[], None]:
    """The bare batched forward passes over the same texts: no localizer that shows every text can be faster."""
    batches = list(lm.batches(lm.tokenize(texts)))

    @torch.no_grad()
    def run() -> None:
        for batch in batches:
            lm.model.model(
                input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
            )

    return run


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference, relative to |t| where that is above 1."""
    return float((np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))).max())


def main() -> None:
    given = arguments(__doc__).parse_args()
    load = settle(given.threads)
    rows, times, lengths = [], {}, []
    study = Localize(contrast="language", preset="tl-abs")
    sides = [[s.text for s in side] for side in (study.stimuli.positive, study.stimuli.negative)]
    for size in SIZES:
        lm = model(size)
        lm.batch_size = 32
        lengths = [statistics.mean(map(len, lm.tokenize(side))) for side in sides]
        loop = Loop(lm, *sides)

        def ancestor(loop: Loop = loop) -> np.ndarray:
            found = loop.t()
            loop.clean()
            return found

        found, table = study.run(lm), loop.table()
        loop.clean()
        ours = np.stack([found.t[site] for site in lm.anatomy.sites("resid_post")], 1)
        # SciPy keeps float32 where it is given float32: the published way loses digits in the sums of the test itself.
        off, rounded = difference(ours, welch(table.double())), difference(ours, welch(table))
        if not off <= 1e-3:
            raise SystemExit(f"The t-maps differ by {off}: nothing can be compared.")
        ways = {
            "loop": ancestor,
            "Localize.run": lambda lm=lm: study.run(lm),
            "floor": floor(lm, [*sides[0], *sides[1]]),
        }
        seconds = interleaved(ways, given.rounds if size == "small" else max(1, given.rounds - 2))
        times[size] = {way: [round(s, 4) for s in some] for way, some in seconds.items()}
        rows += [
            Row("one-text loop over dense tables", named(lm), statistics.median(seconds["loop"]), "s"),
            Row("Localize.run, preset tl-abs", named(lm), statistics.median(seconds["Localize.run"]), "s"),
            Row(
                "loop / Localize.run",
                named(lm),
                ratio(seconds["loop"], seconds["Localize.run"]),
                "x",
                BOUND,
                "at least",
            ),
            Row("loop / bare batched decoder: the limit", named(lm), ratio(seconds["loop"], seconds["floor"]), "x"),
            Row(
                "largest relative difference between the t-maps, the loop's table tested in float64",
                named(lm),
                off,
                "",
                1e-5,
            ),
            Row("the same, tested in float32 as the loop does", named(lm), rounded, ""),
        ]
    write("ancestor", rows, load=load, seconds=times, stimuli=480, tokens_a_text=lengths)


if __name__ == "__main__":
    main()
