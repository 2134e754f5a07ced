"""What a reader sees of perturbations: accuracy by kind, where patches restore, heads, how far runs are apart, examples."""

from __future__ import annotations

from functools import partial
from typing import Any

import polars as pl

from broca.evidence.blocks import facts, interval, table
from broca.evidence.feature_blocks import features
from broca.instruments.perturb import charts
from broca.instruments.perturb.tables import KINDS, PROBES, RECOVERY
from broca.page.blocks import Block, Chart, Details, Facts, Line, Table, Text, Title, Token, Tokens, section
from broca.page.charts import heat
from broca.page.record import Record
from broca.page.words import column, finite, number, percent, points

PLACES = {"prefix": "before", "edited": "edited word", "boundary": "next token", "suffix": "rest",
          "operands": "operands", "answer": "last token"}  # fmt: skip
"""Classes of tokens that are patched, and what they are called."""
MOST_KINDS = 6
"""Lines in a chart."""
MOST_PATCHES = 8
"""Patches that the summary lists."""
_SITES = {"resid_post": "Residual stream", "attn_out": "Attention output", "mlp_out": "MLP output"}
_OWN = (pl.col("direction") == "restore") & (pl.col("donor") == "own") & pl.col("share").is_not_null()


def blocks(record: Record) -> list[Block]:
    """The page of a study of perturbations."""
    task = record.part("task")
    pairs = facts(record).pairs
    if finite(task.get("pairs")):
        pairs += (
            ("clean texts", f"{number(task.get('texts'))} of {number(task.get('wordings'))} wordings"),
            ("perturbed texts", number(task["pairs"])),
            ("answers that turned", f"{number(task.get('turned'))}, {number(task.get('used'))} patched"),
        )
    title = Title("Perturbations", f"mistakes and rewordings of {task.get('items') or 'texts'}")
    parts = (
        _kinds(record, task),
        _recovery(record),
        features(record),
        _apart(record),
        _probes(record),
        _examples(record),
    )
    return [title, Facts(pairs, summary=True), *(block for part in parts for block in part)]


def _kinds_by_drop(record: Record) -> pl.DataFrame | None:
    kinds = record.tables.get("kinds")
    return None if kinds is None else kinds.sort("drop", "kind")


def _kinds(record: Record, task: dict[str, Any]) -> list[Block]:
    kinds = _kinds_by_drop(record)
    if kinds is None:
        return []
    worst = kinds.row(0, named=True)
    words = (
        f"{task.get('texts', '')} texts of {task.get('wordings', '')} wordings, asked clean and under each kind; changes are of the same "
        "texts."
    )
    if finite(task.get("worst_case")):
        words += f" Right clean and under every kind: {percent(task['worst_case'])}."
    caption = (
        f"Change of accuracy under each kind, by item, with 95 % intervals over wordings. Most under {worst['kind']}: from "
        f"{percent(worst['clean'])} to {percent(worst['perturbed'])}."
    )
    small = (
        "A control is a valid text that differs from the clean one by as many tokens as the perturbed one does. Over controls: "
        "perturbed minus control accuracy, of the texts that have one; what is left of a change there is the mistake's own."
    )
    numbers = (_kind_table(kinds), Text(small, quiet=True))
    shown = Details("All kinds in numbers, beside valid texts with as many tokens", tuple(b for b in numbers if b))
    chart = Chart("kinds", caption, partial(charts.kinds, kinds))
    return section("kinds", "What each kind of perturbation costs", Text(words), chart, shown)


def _kind_table(kinds: pl.DataFrame) -> Table | None:
    rows = kinds.to_dicts()
    for row in rows:
        row["interval"] = interval(row["drop_low"], row["drop_high"])
        beyond = interval(row["over_control_low"], row["over_control_high"])
        row["over"] = f"{points(row['over_control'])} {beyond}"
    settings = (("kind", "kind"), ("n", "texts"), ("clean", "clean", "percent"), ("perturbed", "perturbed", "percent"),
                ("drop", "change", "points"), ("interval", "95 % interval"), ("p_holm", "p (Holm)", "p"),
                ("drop_rate", "drop rate", "percent"), ("broken", "broken"), ("mended", "mended"),
                ("same_answer", "same answer", "percent"), ("unparsed", "unread", "percent"), ("controls", "controls"),
                ("control", "right", "percent"), ("over", "over controls"))  # fmt: skip
    brief = ("kind", "n", "clean", "perturbed", "drop", "interval", "p_holm", "broken")
    return table(KINDS, rows, "Kinds of perturbation", *settings, summary=brief)


def _recovery(record: Record) -> list[Block]:
    rows = record.tables.get("recovery")
    words = (
        "Texts whose answer turned are run again with values of their clean run in place, one layer and class of tokens at a time. A "
        "share of 1 gives back the whole logit difference that the perturbation took. Patches before the first mistake can do nothing; "
        "patches from another text's run, or at as many other tokens, are what chance would restore."
    )
    if rows is None:
        return []
    pictures = [_curves(rows), *_by_kind(record), *_by_site(rows), *_heads(record)]
    return section("recovery", "Where the damage can be undone", Text(words), *pictures, best_patches(rows))


def best_patches(rows: pl.DataFrame) -> Details | None:
    """What restores most, the best layer of each place; the last token after the last layer is the output, and left out."""
    output = (pl.col("kind") == "resid_post") & (pl.col("at") == "answer") & (pl.col("layer") == pl.col("layer").max())
    most = rows.filter(_OWN).filter(~output).sort("share", descending=True)
    found = most.group_by("kind", "at", maintain_order=True).first().head(MOST_PATCHES)
    made = found.with_columns(site=pl.format("{}.{}", "layer", "kind")).to_dicts()
    settings = (("site", "site"), ("at", "at"), ("n", "n"), ("share", "share", "column"), ("low", "low", "column"),
                ("high", "high", "column"), ("estimate", "estimate", "column"))  # fmt: skip
    title = "Recovery of the lost logit difference, largest first"
    shown = table(RECOVERY, made, title, *settings, summary=[name for name, *_ in settings])
    return None if shown is None else Details(title, (shown,))


def _by_site(rows: pl.DataFrame) -> list[Chart]:
    out = []
    for kind, title in _SITES.items():
        part = rows.filter(_OWN & (pl.col("kind") == kind) & pl.col("at").is_in(list(PLACES)))
        if part.is_empty():
            continue
        top = part.sort("share", descending=True).row(0, named=True)
        words = (
            f"{title}: share of the lost logit difference that the clean run's values restore. Most at the {PLACES[top['at']]} in layer "
            f"{top['layer']} ({percent(top['share'])})."
        )
        shown = part.with_columns(place=pl.col("at").replace_strict(PLACES), value=pl.col("share").clip(0, 1))
        order = list(PLACES.values())
        make = partial(heat, shown, ("layer", "layer"), ("place", ""), title, domain=(0.0, 1.0), order=order)
        out.append(Chart(f"recovery-{kind.replace('_', '-')}", words, make))
    return out


def _by_kind(record: Record) -> list[Chart]:
    """The edited word, each kind by itself."""
    rows = record.tables.get("recovery_kinds")
    own = None if rows is None else rows.filter((pl.col("at") == "edited") & pl.col("share").is_not_null())
    if own is None or own["perturbation"].n_unique() < 2:
        return []
    most = own.group_by("perturbation").agg(pl.col("share").max()).sort("share", descending=True)
    order = most["perturbation"].to_list()
    words = f"Residual stream at the edited word, kinds apart, of at least three cases each. Most of {order[0]} is restored, least of {order[-1]}."
    shown = own.with_columns(value=pl.col("share").clip(0, 1))
    axes = (("layer", "layer"), ("perturbation", ""))
    return [Chart("recovery-kinds", words, partial(heat, shown, *axes, "By kind", domain=(0.0, 1.0), order=order))]


def _curves(rows: pl.DataFrame) -> Chart:
    """Recovery at the edited word by layer, beside another text's run and other tokens."""
    own = rows.filter(_OWN & (pl.col("kind") == "resid_post") & (pl.col("at") == "edited"))
    top = own["share"].max()
    words = "Residual stream at the edited word, by layer, with 95 % intervals"
    words += f": the own clean run restores {percent(top)} at most." if top is not None else "."
    return Chart("recovery-word", words, partial(charts.curves, rows))


def _heads(record: Record) -> list[Chart]:
    out = []
    units, patterns = record.tables.get("units"), record.tables.get("patterns")
    if units is not None and record.study.get("select", "heads") == "heads":
        each, told = units.rename({"unit": "head"}), "Each head's output patched alone, at every aligned token"
        out.append(_head_map(each, "Heads", "heads-patched", told))
    elif units is not None:
        top = units.sort("share", descending=True, nulls_last=True).row(0, named=True)
        what = str(record.study["select"])
        words = f"Layers of the {len(units)} {what} that attribution patching ranks highest; first {top['layer']}.{top['unit']}."
        count = units.group_by("layer").len().sort("layer")
        out.append(Chart(what, words, partial(charts.units_by_layer, count, what)))
    part = None if patterns is None else patterns.drop_nulls("head")
    if part is not None and len(part):
        told = "Each head's attention pattern replaced by that of the clean run"
        out.append(_head_map(part, "Attention patterns", "heads-patterns", told))
    return out


def _head_map(rows: pl.DataFrame, title: str, name: str, what: str) -> Chart:
    """What each head restores, layer by layer."""
    top = rows.sort("share", descending=True, nulls_last=True).row(0, named=True)
    words = f"{what}: head {top['layer']}.{top['head']} restores most ({percent(top['share'])})."
    shown = rows.with_columns(value=pl.col("share").clip(0, 1))
    return Chart(name, words, partial(heat, shown, ("layer", "layer"), ("head", "head"), title, domain=(0.0, 1.0)))


def _apart(record: Record) -> list[Block]:
    """How far runs are apart by layer at the edited word and at the last token, for the kinds that cost most."""
    rows, kinds = record.tables.get("compared_points"), _kinds_by_drop(record)
    if rows is None or kinds is None:
        return []
    chosen = [kind for kind in kinds["kind"].to_list() if kind in set(rows["kind"])][:MOST_KINDS]
    out = []
    for place, title in (("edited", "Runs apart at the edited word"), ("answer", "Runs apart at the last token")):
        near = (pl.col("class") == place) & pl.col("kind").is_in(chosen) & pl.col("relative_distance").is_not_null()
        own = rows.filter(near)
        if own.is_empty():
            continue
        top = own.sort("relative_distance", descending=True).row(0, named=True)
        words = (
            f"{title}: distance of the residual streams relative to the clean one's norm, mean over pairs, for the kinds that cost most. "
            f"Largest {number(top['relative_distance'])} after layer {top['layer']} ({top['kind']}); layer −1 is the embedding."
        )
        out.append(Chart(f"apart-{place}", words, partial(charts.apart, own, chosen, title)))
    return section("apart", "How far the runs are apart", *out)


def _probes(record: Record) -> list[Block]:
    """Of every kind and point the site that gains most over what knows no model, wordings kept together."""
    rows = record.tables.get("probes")
    if rows is None:
        return []
    own = rows.filter((pl.col("split") == "wording") & pl.col("accuracy").is_not_null())
    best = own.sort("gain", descending=True, nulls_last=True).group_by("kind", "point", maintain_order=True).first()
    made = best.sort("kind", "point").to_dicts()
    for row in made:
        row["gains"] = f"{points(row['gain'])} {interval(row['gain_low'], row['gain_high'])}"
    settings = (("kind", "kind"), ("point", "at"), ("site", "site"), ("pairs", "pairs"), ("accuracy", "accuracy", "percent"),
                ("token", "token alone", "percent"), ("text", "text alone", "percent"), ("count", "count alone", "percent"),
                ("gains", "gain"))  # fmt: skip
    words = (
        "Probes that tell clean from perturbed by the residual stream, wordings kept together, beside what random embeddings of the same "
        "token, of the whole text, and the number of tokens tell without any model. Shown is the site that gains most over the best of "
        "these."
    )
    return section("told-apart", "Can the model tell a mistake?", Text(words), table(PROBES, made, "Probes", *settings))


def _examples(record: Record) -> list[Block]:
    """Texts token by token."""
    rows = record.tables.get("examples")
    if rows is None or rows.is_empty():
        return []
    if "change" not in rows.columns:  # runs of version 0.1
        rows = rows.with_columns(change=pl.lit(None, pl.Float64))
    out, most = [], max((abs(change) for change in rows["change"].drop_nulls()), default=0.0)
    for part in rows.partition_by("id", maintain_order=True):
        row = part.row(0, named=True)
        lines = tuple(
            Line(side, _tokens(part.filter(pl.col("side") == side).sort("place"), most or 1.0), row[answer] or "")
            for side, answer in (("clean", "right"), ("perturbed", "wrong"))
        )
        out.append(Tokens(row["kind"] or "", f"lost {column(row['lost'])} logits", lines))
    words = "Token by token, those that lost most first, a kind at a time. Underlined is the edited word; others are the same in both runs."
    if most:
        words += f" What is blue is less probable than in the clean text, what is orange more; the darkest by {column(most)} nats."
    return section("turned", "Texts that turned", Text(words), *out)


def _tokens(rows: pl.DataFrame, most: float) -> tuple[Token, ...]:
    roles = {"edited": "edited", "operands": "operand"}
    return tuple(
        Token(
            row["text"] or "",
            roles.get(row["class"], "" if row["matched"] else "unmatched"),
            (row["change"] or 0.0) / most,
        )
        for row in rows.iter_rows(named=True)
        if row["class"] != "special"
    )
