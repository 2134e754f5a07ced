"""The steps of a probe that cost time, each remembered by its key: looking, scoring, mapping, lesioning, corrupting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from broca.cache.cache import Cache, Progress
from broca.evidence.overlap import OtherData
from broca.evidence.trial import Conduct
from broca.instruments.probe import cuts, pruning, robustness
from broca.instruments.probe import findings as probe_findings
from broca.instruments.probe import heads as probe_heads
from broca.instruments.probe.score_maps import by_head, by_layer
from broca.instruments.probe.scores import TARGETS, How, Target, TargetScore, score_target
from broca.instruments.probe.statements import Floats, Statements, is_linear, looked_at, scale_by_text
from broca.items import Tree
from broca.models.lm import LM
from broca.models.twins import untrained_twin
from broca.specs.pooling import Pooling, pooling

if TYPE_CHECKING:
    from broca.instruments.probe.spec import Probe


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What attention says of statements, in the model and in its untrained twins; each ``(row, layer, head)``."""

    statements: Statements
    pooled: Floats
    """As it is probed."""
    kept: Floats
    """By head, as it was computed."""
    layers: tuple[int, ...]
    twins: tuple[tuple[Floats, Floats], ...]
    """Both for each twin."""


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """A probe under way on a model."""

    spec: Probe
    lm: LM
    cache: Cache
    progress: Progress

    def read_attention(self, statements: Statements) -> Seen:
        """Read the attention of the model and of its twins."""
        pooled, kept, layers = self._look(statements, None, partial(self.progress, "looking at attention"))
        twins = []
        most = self.spec.enough_twins(self.spec.twins)
        for i in range(most):
            self.progress("looking at untrained twins", i, most)
            seed = self.spec.seed + i
            twins.append(self._look(statements, (f"untrained {seed}", partial(untrained_twin, self.lm, seed)))[:2])
        self.progress("looking at untrained twins", most, most)
        return Seen(statements, pooled, kept, layers, tuple(twins))

    def _look(
        self,
        statements: Statements,
        twin: tuple[str, Callable[[], LM]] | None,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[Floats, Floats, tuple[int, ...]]:
        wanted = pooling(self.spec.pooling)

        def read(how: Pooling) -> tuple[Floats, tuple[int, ...]]:
            return looked_at(
                self.lm, statements.trees, how, chat=self.spec.chat, cache=self.cache, progress=progress, twin=twin
            )

        kept, layers = read(replace(wanted, heads="kept"))
        if wanted.heads == "kept":
            pooled = kept
        else:
            pooled = kept.mean(2, keepdims=True) if is_linear(wanted) else read(wanted)[0]
        return scale_by_text(pooled, statements.text, wanted), kept, layers

    def score_targets(self, seen: Seen) -> list[TargetScore]:
        """The score of each target."""
        spec, found = self.spec, []
        how = How(spec.classifier, spec.layers, spec.folds, spec.permutations, spec.n_bootstrap, spec.seed)
        for done, name in enumerate(TARGETS):
            self.progress("probing", done, len(TARGETS))
            found.append(
                score_target(Target(name, seen.statements, seen.pooled, tuple(pooled for pooled, _ in seen.twins), how))
            )
        self.progress("probing", len(TARGETS), len(TARGETS))
        return found

    def map_scores(self, found: Sequence[TargetScore], seen: Seen) -> dict[str, pl.DataFrame]:
        """Scores by layer and by head, where they are wanted and defined."""
        made: dict[str, list[pl.DataFrame]] = {"layer_scores": [], "head_scores": []}
        defined = [each.target for each in found if self.spec.maps and each.target.why_undefined is None]
        for done, target in enumerate(defined):
            heads = replace(target, own=seen.kept, twins=tuple(kept for _, kept in seen.twins))
            for name, score, of in (("layer_scores", by_layer, target), ("head_scores", by_head, heads)):
                self.progress("mapping layers and heads", 2 * done + (name == "head_scores"), 2 * len(defined))
                key = {"cell": name, "target": target.name, "spec": self.spec.model_dump_json()}
                table = self.cache(key | {"condition": list(self.lm.condition)}, partial(score, of, seen.layers))
                assert isinstance(table, pl.DataFrame)
                made[name].append(table)
        return {name: pl.concat(parts) for name, parts in made.items() if parts}

    def lesion(
        self, held: Sequence[Tree], seen: Seen, heads: pl.DataFrame | None, data: OtherData | None
    ) -> probe_heads.After:
        """What lesions do to the answers of trees that were not probed.

        Args:
            held: these trees.
            seen: what was probed.
            heads: the scores by head.
            data: what tests the heads that the probe points to; None where they are not lesioned.
        """
        spec, lm, layers = self.spec, self.lm, seen.layers
        tables: dict[str, pl.DataFrame] = {}
        importance = probe_heads.importance(seen.kept, seen.statements)
        mask = probe_heads.choose_heads(heads, importance.get("probe"), layers, spec.percent)
        items, boot = [tree.item for tree in held], {"seed": spec.seed, "n_bootstrap": spec.n_bootstrap}
        guards, warnings, climbed = (), (), ()
        if spec.pruning:
            orders, warnings = pruning.orders_of(
                spec.pruning, lm, items, importance, layers, chat=spec.chat, cache=self.cache, progress=self.progress
            )
            tables["pruning"], tables["areas"], guards = pruning.pruning_curves(
                spec.pruning, lm, items, orders, layers, chat=spec.chat, seed=spec.seed, cache=self.cache, progress=self.progress
            )  # fmt: skip
        if spec.edges:
            tables["edges"] = cuts.cut_edges(lm, held, **boot, cache=self.cache, progress=self.progress)
        if data is not None and mask is not None:
            warnings = (*warnings, *data.warnings)
            climbed = probe_heads.lesion_heads(
                mask, lm, data, chat=spec.chat, draws=spec.enough_draws(spec.draws),
                how=Conduct(gate="mark", alpha=spec.alpha, claims=spec.claims, n_bootstrap=spec.n_bootstrap, seed=spec.seed), cache=self.cache, progress=self.progress,
            )  # fmt: skip
        return probe_heads.After(tables, guards, warnings, mask, climbed)

    def robust(
        self, found: Sequence[TargetScore], statements: Statements, answers: pl.DataFrame
    ) -> dict[str, pl.DataFrame]:
        """Links between a tree's probe margin and its answer, intact and corrupted."""
        spec, tables = self.spec, {}
        margins = probe_findings.margins_of_trees(found, statements)
        groups = [tree.cluster for tree in statements.trees]
        right = answers["correct"].to_numpy()
        rows = [
            robustness.margin_regression(f"{name}, intact", right, margin, groups) for name, margin in margins.items()
        ]
        if spec.corruptions:
            tables["corruptions"], touched = robustness.under_corruption(
                self.lm, statements.trees, answers, spec.corruptions, chat=spec.chat, seed=spec.seed,
                n_bootstrap=spec.n_bootstrap, cache=self.cache, progress=self.progress,
            )  # fmt: skip
            tables["corrupted"] = touched
            for (how,), part in touched.filter(pl.col("intact")).group_by("corruption", maintain_order=True):
                at, stays = part["tree"].to_numpy(), part["corrupted"].to_numpy()
                own = [groups[i] for i in at]
                rows += [
                    robustness.margin_regression(f"{name}, right under {how}", stays, margin[at], own)
                    for name, margin in margins.items()
                ]
        return tables | {"links": pl.DataFrame(rows, schema=robustness.LINKS)}
