"""What a reader sees of a probe: scores, curves over layers, trees, heads, pruning curves, hidden statements."""

from __future__ import annotations

from functools import partial
from typing import Any

import polars as pl

from broca.evidence.blocks import facts, interval, table
from broca.instruments.probe import charts
from broca.instruments.probe.tables import AREAS, CONTROLS, CORRUPTIONS, EDGES, LINKS, PROBE_BASELINES, SCORES
from broca.page import charts as drawn
from broca.page.blocks import Block, Chart, Details, Facts, Table, Text, Title, Tree, section
from broca.page.record import Record
from broca.page.words import column, finite, number, percent, points

QUESTIONS = {"useful": "which statements are useful", "step": "which step a useful statement belongs to"}
"""What is read, by target."""

_COUNTED = {"size": ", from the smallest number", "place": "", "step": "; step 0 is not useful"}
_BY = {
    "size": ("Attention by size", "size rank"),
    "place": ("Attention by place", "place"),
    "step": ("Attention by step", "step"),
}


def blocks(record: Record) -> list[Block]:
    """The page of a probe."""
    task = record.part("task")
    pairs = facts(record).pairs
    if finite(task.get("trees")):
        pairs += (("trees", f"{number(task['trees'])} of {number(task.get('theories'))} theories"),)
        pairs += (("useful statements", f"{number(task.get('useful'))} of {number(task.get('statements'))}"),)
    title = Title("Probe", f"reasoning trees of {task.get('name') or 'a task'}")
    parts = (_scores(record), _trees(record), _looking(record), _pruning(record), _edges(record), _robustness(record))
    return [title, Facts(pairs, summary=True), *(block for part in parts for block in part)]


def _question(target: str) -> str:
    return QUESTIONS.get(target, target)


def _scores(record: Record) -> list[Block]:
    rows = record.rows("scores")
    if not rows:
        return []
    for row in rows:
        untrained = row["score_random_all"] or []
        row["what"] = _question(row["target"])
        row["interval"] = interval(row["score_low"], row["score_high"], column)
        row["untrained"] = f"{column(min(untrained))} to {column(max(untrained))}" if untrained else ""
        if row["undefined"]:
            row["interval"] = f"undefined: {row['undefined']}"
    settings = (("symbol", "score"), ("what", "what is read"), ("score", "value", "column"), ("interval", "95 % interval"), ("untrained", "untrained"),
                ("f1", "macro-F1", "column"), ("f1_random", "untrained F1", "column"), ("p", "shuffled labels", "p"),
                ("margin", "over control task", "column"), ("score_rows", "folds of rows", "column"))  # fmt: skip
    caption = "Probing scores with their controls"
    brief = ("symbol", "score", "interval", "untrained", "f1", "p")
    shown = table(SCORES, rows, "Probing scores", *settings, strong=("score",), caption=caption, summary=brief)
    words = (
        "A score of 0 is what untrained networks of this shape give through the same pipeline, 1 is perfect. The band is where those "
        "networks themselves fall, each against the others."
    )
    small = (
        "Over control task: F1 minus that on labels drawn once for each distinct statement, which can only be learned by heart. Folds "
        "of rows: the score where statements of one theory may train and be tested; what it has more is leakage."
    )
    beside = [_beside(record, row) for row in rows if not row["undefined"]]
    parts = (shown, Text(small, quiet=True), *beside, *_layers(record))
    return section("scores", "What is read from attention", Text(words), *parts)


def _beside(record: Record, row: dict[str, Any]) -> Details:
    """What needs no attention, and wrong labels, beside a score."""
    known = [each for each in record.rows("probe_baselines") if each["target"] == row["target"]]
    for each in known:
        each["adds"] = f"{column(each['gain'])} {interval(each['gain_low'], each['gain_high'], column)}"
    labels = [each for each in record.rows("controls") if each["target"] == row["target"]]
    baselines = (("baseline", "known"), ("f1", "macro-F1", "column"), ("f1_with", "with attention", "column"),
                 ("adds", "attention adds"))  # fmt: skip
    controls = (("control", "labels"), ("f1", "macro-F1", "column"), ("f1_random", "untrained", "column"),
                ("score", "score", "column"))  # fmt: skip
    published = (
        None
        if row["f1_published"] is None
        else Text(
            f"By the published recipe, quirks included: F1 {column(row['f1_published'])}, score {column(row['score_published'])}.",
            quiet=True,
        )
    )
    parts = (
        table(PROBE_BASELINES, known, f"{row['symbol']} beside what needs no attention", *baselines),
        table(CONTROLS, labels, f"{row['symbol']} beside wrong labels", *controls),
        published,
    )
    title = f"{row['symbol']} beside what needs no attention, and beside wrong labels"
    return Details(title, tuple(part for part in parts if part is not None))


def _layers(record: Record) -> list[Chart]:
    rows = record.tables.get("layer_scores")
    if rows is None:
        return []
    out = []
    for target in rows["target"].unique(maintain_order=True).to_list():
        own = rows.filter(pl.col("target") == target)
        best = own.filter(pl.col("way") == "single").sort("f1", descending=True, nulls_last=True).row(0, named=True)
        words = f"{_question(target).capitalize()}: macro-F1 by layer. Best alone: layer {best['layer']} ({number(best['f1'])})."
        out.append(Chart(f"layers-{target}", words, partial(charts.layers, own, target)))
    return out


def _trees(record: Record) -> list[Block]:
    rows = record.tables.get("drawn")
    parts = [] if rows is None else rows.partition_by("tree", maintain_order=True)
    trees = [Tree(f"tree-{i + 1}", tuple(part.sort("statement").to_dicts())) for i, part in enumerate(parts)]
    words = (
        "Statements stand in the order of the text, useful ones in bold with their step in the circle. Arcs on the left lead from a "
        "premise to what takes it; blue ones end at the question. On the right, the question’s attention in each layer, heads averaged; "
        "darker is more. ✗ marks a statement that the probe took for the other kind."
    )
    return section("trees", "Trees, and where the question looks", Text(words), *trees)


def _looking(record: Record) -> list[Block]:
    return section("looking", "Where heads look", *_attention(record), *_heads(record), *_entropies(record))


def _attention(record: Record) -> list[Chart]:
    rows = record.tables.get("attention")
    if rows is None:
        return []
    out = []
    for by in [name for name in _BY if name in rows["by"].to_list()]:
        own = rows.filter(pl.col("by") == by)
        own = own if by == "step" else own.with_columns(pl.col("label") + 1)
        top = own.sort("attention", descending=True).row(0, named=True)
        title, axis = _BY[by]
        words = (
            f"{title}: mean over texts and heads{_COUNTED[by]}. The most goes to {axis} {top['label']} in layer {top['layer']} "
            f"({number(top['attention'])})."
        )
        make = partial(drawn.heat, own.rename({"attention": "value"}), ("layer", "layer"), ("label", axis), title)
        out.append(Chart(f"attention-{by}", words, make))
    return out


def _heads(record: Record) -> list[Chart]:
    rows = record.tables.get("head_scores")
    if rows is None:
        return []
    out = []
    for target in rows["target"].unique(maintain_order=True).to_list():
        own = rows.filter(pl.col("target") == target)
        found = int((own["q"] <= 0.05).sum())
        words = (
            f"{_question(target).capitalize()}, told by each head alone: probing score; {found} of {len(own)} heads beat shuffled labels "
            "(Benjamini–Hochberg, q = 0.05)."
        )
        shown = own.with_columns(value=pl.col("score").fill_null(pl.col("f1")).clip(0, 1)).drop_nulls("value")
        title = "Useful, by head" if target == "useful" else "Step, by head"
        make = partial(drawn.heat, shown, ("layer", "layer"), ("head", "head"), title)
        out.append(Chart(f"heads-{target}", words, make))
    return out


def _entropies(record: Record) -> list[Chart]:
    rows = record.tables.get("heads")
    out = []
    for name, title in {"entropy_place": "Entropy by place", "entropy_size": "Entropy by size"}.items():
        own = None if rows is None else rows.drop_nulls(name)
        if own is None or own.is_empty():
            continue
        low = own.sort(name).row(0, named=True)
        words = f"{title} of each head’s mean attention: 1 is even; darker heads are choosier. Lowest: head {low['layer']}.{low['head']} ({number(low[name])})."
        shown = own.rename({name: "value"})
        make = partial(drawn.heat, shown, ("layer", "layer"), ("head", "head"), title, domain=(1.0, 0.0))
        out.append(Chart(name.replace("_", "-"), words, make))
    return out


def _pruning(record: Record) -> list[Block]:
    rows = record.tables.get("pruning")
    if rows is None:
        return []
    fill = rows.filter(pl.col("condition") == "lesion")["fill"].to_list()[:1]
    out = []
    for mode in rows.filter(pl.col("mode") != "")["mode"].unique(maintain_order=True).to_list():
        own = rows.filter(((pl.col("mode") == mode) & pl.col("fill").is_in(fill)) | (pl.col("condition") == "intact"))
        out.append(Chart(f"pruning-{mode}", _pruning_words(own, mode), partial(charts.pruning, own, mode)))
    words = (
        "Accuracy on trees that were not probed, with heads held at a fill where they are written. The band is the middle 95 % of "
        "random orders."
    )
    return section("pruning", "Heads taken away", Text(words), *out, _areas(record))


def _areas(record: Record) -> Details | None:
    rows = record.rows("areas")
    for row in rows:
        row["heads"] = "taken away" if row["mode"] == "remove" else "kept"
        row["random"] = f"{percent(row['random_low'])} to {percent(row['random_high'])}"
    settings = (("order", "order"), ("heads", "heads"), ("area", "mean accuracy", "percent"),
                ("beyond", "beyond random", "points"), ("random", "random"), ("p", "p", "p"))  # fmt: skip
    shown = table(AREAS, rows, "Whole curves", *settings)
    return None if shown is None else Details("The whole of each curve against random orders", (shown,))


def _pruning_words(rows: pl.DataFrame, mode: str) -> str:
    intact = rows.filter(pl.col("condition") == "intact")["accuracy"].mean()
    middle = sorted(rows.filter(pl.col("condition") == "lesion")["level"].unique().to_list())
    level = middle[len(middle) // 2]
    at = rows.filter(pl.col("level") == level)
    each = at.filter(pl.col("condition") == "lesion").select("order", "accuracy").iter_rows()
    told = ", ".join(f"{charts.ORDERS.get(order, order)} {percent(value)}" for order, value in each)
    random = at.filter(pl.col("condition") == "random")["accuracy"]
    more = f"; {len(random)} random orders {percent(random.median())} in the median" if len(random) else ""
    done = "taken away" if mode == "remove" else "kept"
    return f"{percent(intact)} intact; with {number(level)} % of the heads {done}: {told}{more}."


def _edges(record: Record) -> list[Block]:
    rows = record.rows("edges")
    for row in rows:
        row["change"] = f"{points(row['effect'])} {interval(row['low'], row['high'])}"
        row["nats"] = f"{column(row['margin'])} {interval(row['margin_low'], row['margin_high'], column)}"
    settings = (("hidden", "hidden"), ("accuracy", "accuracy", "percent"), ("change", "change, points"), ("p", "sign flips", "p"),
                ("nats", "margin of the answer, nats"), ("n", "n"))  # fmt: skip
    words = (
        "Attention edges from the question to one statement, cut in every layer and head; the rest of each row takes the mass over. "
        "Useless statements are matched in kind and place."
    )
    return section(
        "edges", "Statements hidden from the question", Text(words), table(EDGES, rows, "Cut edges", *settings)
    )


def _robustness(record: Record) -> list[Block]:
    links = record.rows("links")
    for row in links:
        slope = f"{column(row['slope'])} {interval(row['low'], row['high'], column)}"
        row["odds"] = f"no estimate: {row['undefined']}" if row["undefined"] else slope
    settings = (("link", "margin and answer"), ("odds", "log odds"), ("p", "p", "p"), ("n", "n"))
    words = Text(
        "Logistic regression of being right on the probe’s margin of the same text (out of fold), for each standard deviation of the "
        "margin, with clusters of theories."
    )
    shown = table(LINKS, links, "Probe margin and correctness", *settings)
    linked: list[Block] = [] if shown is None else [words, shown]
    return section("robustness", "Do readable trees have right answers?", _corruptions(record), *linked)


def _corruptions(record: Record) -> Table | None:
    rows = record.rows("corruptions")
    for row in rows:
        row["points"] = f"{points(row['change'])} {interval(row['low'], row['high'])}"
    settings = (("corruption", "corruption"), ("intact", "intact", "percent"), ("corrupted", "corrupted", "percent"),
                ("points", "change, points"), ("p", "sign flips", "p"), ("n", "n"))  # fmt: skip
    return table(CORRUPTIONS, rows, "Corruptions", *settings)
