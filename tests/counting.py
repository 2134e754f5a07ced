"""How many tokens go through a model."""

from __future__ import annotations

from broca.models.lm import LM


def tokens_read(monkeypatch, do) -> int:
    """Real tokens of all passes while something is done."""
    seen = []
    run = LM.run

    def counted(self, batch, *, past=0, **more):
        seen.append(int(batch.mask[:, past:].sum()))
        return run(self, batch, past=past, **more)

    with monkeypatch.context() as patch:
        patch.setattr(LM, "run", counted)
        do()
    return sum(seen)
