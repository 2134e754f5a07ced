"""How many tokens go through a model."""

from __future__ import annotations

from broca.models.lm import LM


def tokens_read(monkeypatch, do) -> int:
    """Real tokens of all passes while something is done."""
    seen = []
    with monkeypatch.context() as patch:
        count_passes(patch, seen)
        do()
    return sum(seen)


def count_passes(monkeypatch, seen: list[int]) -> None:
    """From now on, put the real tokens of each pass into `seen`."""
    run = LM.run

    def counted(self, batch, *, past=0, **more):
        seen.append(int(batch.mask[:, past:].sum()))
        return run(self, batch, past=past, **more)

    monkeypatch.setattr(LM, "run", counted)
