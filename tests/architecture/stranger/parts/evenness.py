"""A benchmark: is a number even?"""

from __future__ import annotations

import broca


def evenness(*, n: int = 40) -> tuple[broca.Item, ...]:
    """Numbers below n. Its keywords are the options that `--options.NAME` gives."""
    return tuple(
        broca.Item(f"even-{i}", f"Is {i} even?", ("yes", "no"), i % 2, "evenness", group=str(i // 2)) for i in range(n)
    )
