"""Works that methods are cited by: as a line of text, and as BibTeX.

`KNOWN` holds what is cited often, whole. Every other citation is a line that an instrument wrote, such as "Meng et al. (2022), Locating and
editing factual associations in GPT, NeurIPS."; it is taken apart as far as it goes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broca.page.words import visible


@dataclass(frozen=True, slots=True)
class Work:
    """A publication."""

    authors: tuple[str, ...]
    """``Family, G.`` each."""
    year: int
    title: str
    venue: str
    """Journal, conference or publisher."""
    volume: str = ""
    pages: str = ""
    book: bool = False

    @property
    def text(self) -> str:
        """In one line (APA)."""
        names = self.authors[0] if len(self.authors) == 1 else f"{', '.join(self.authors[:-1])}, & {self.authors[-1]}"
        where = ", ".join(filter(None, (self.venue, self.volume, self.pages.replace("-", "–"))))
        return f"{names} ({self.year}). {self.title}. {where}."

    @property
    def fields(self) -> dict[str, str]:
        """Of its BibTeX entry."""
        venue = {"publisher" if self.book else "journal": self.venue}
        more = {"volume": self.volume, "pages": self.pages.replace("-", "--")}
        return {"author": " and ".join(self.authors), "title": self.title, "year": str(self.year), **venue, **more}


def _article(authors: str, year: int, title: str, *where: str) -> Work:
    venue, volume, pages = where
    return Work(tuple(authors.split("; ")), year, title, venue, volume, pages)


KNOWN: Mapping[str, Work] = {
    "Anderson & Robinson, 2001": _article("Anderson, M. J.; Robinson, J.", 2001, "Permutation tests for linear models",
        "Australian & New Zealand Journal of Statistics", "43", "75-88"),
    "Benjamini & Hochberg, 1995": _article("Benjamini, Y.; Hochberg, Y.", 1995, "Controlling the false discovery rate: a practical and "
        "powerful approach to multiple testing", "Journal of the Royal Statistical Society B", "57", "289-300"),
    "Blain et al., 2022": _article("Blain, A.; Thirion, B.; Neuvial, P.", 2022, "Notip: Non-parametric true discovery proportion control "
        "for brain imaging", "NeuroImage", "260", "119492"),
    "Crawford & Howell, 1998": _article("Crawford, J. R.; Howell, D. C.", 1998, "Comparing an individual’s test score against norms derived "
        "from small samples", "The Clinical Neuropsychologist", "12", "482-486"),
    "Efron, 1979": _article("Efron, B.", 1979, "Bootstrap methods: another look at the jackknife", "The Annals of Statistics", "7", "1-26"),
    "Field & Welsh, 2007": _article("Field, C. A.; Welsh, A. H.", 2007, "Bootstrapping clustered data",
        "Journal of the Royal Statistical Society B", "69", "369-390"),
    "Fisher, 1935": Work(("Fisher, R. A.",), 1935, "The design of experiments", "Oliver & Boyd", book=True),
    "Holm, 1979": _article("Holm, S.", 1979, "A simple sequentially rejective multiple test procedure",
        "Scandinavian Journal of Statistics", "6", "65-70"),
    "Kriegeskorte et al., 2009": _article("Kriegeskorte, N.; Simmons, W. K.; Bellgowan, P. S. F.; Baker, C. I.", 2009,
        "Circular analysis in systems neuroscience: the dangers of double dipping", "Nature Neuroscience", "12", "535-540"),
    "Liang & Zeger, 1986": _article("Liang, K.-Y.; Zeger, S. L.", 1986, "Longitudinal data analysis using generalized linear models",
        "Biometrika", "73", "13-22"),
    "McNemar, 1947": _article("McNemar, Q.", 1947, "Note on the sampling error of the difference between correlated proportions or "
        "percentages", "Psychometrika", "12", "153-157"),
    "Phipson & Smyth, 2010": _article("Phipson, B.; Smyth, G. K.", 2010, "Permutation p-values should never be zero",
        "Statistical Applications in Genetics and Molecular Biology", "9", "39"),
    "Rosenblatt et al., 2018": _article("Rosenblatt, J. D.; Finos, L.; Weeda, W. D.; Solari, A.; Goeman, J. J.", 2018,
        "All-Resolutions Inference for brain imaging", "NeuroImage", "181", "786-796"),
    "Welch, 1947": _article("Welch, B. L.", 1947, "The generalization of ‘Student’s’ problem when several different population variances "
        "are involved", "Biometrika", "34", "28-35"),
    "Westfall & Young, 1993": Work(("Westfall, P. H.", "Young, S. S."), 1993, "Resampling-based multiple testing", "Wiley", book=True),
}  # fmt: skip
"""Works by how they are named in a text."""

_LINE = re.compile(r"([^()]{2,200}?)[, ]*\((\d{4})\),? (.{3,600})", re.DOTALL)
"""Authors (year), the rest."""
_JOURNAL = re.compile(r"([A-Z][\w .&]{1,80}) (\d{1,4}):([\w-]{1,20})")
_PREPRINT = re.compile(r"(?:(.{3,400}), )?arXiv[: ](\d{4}\.\d{4,5})", re.DOTALL)


def known_work(line: str) -> Work | None:
    """The work that a line cites, if it is one of `KNOWN`: told by its first author and its year."""
    for short, work in KNOWN.items():
        first = re.split(r"[ ,]", short)[0]
        if re.match(re.escape(first) + r"\b", line) and f"({work.year})" in line:
            return work
    return None


def references(text: str, citations: Sequence[object]) -> list[str]:
    """The works that a text names, then those of other lines, each once.

    Args:
        text: such as a method section; it names works as `KNOWN` does.
        citations: further lines.
    """
    lines = [work.text for short, work in KNOWN.items() if short in text]
    for line in map(str, citations):
        work = known_work(line)
        lines.append(work.text if work else line)
    return list(dict.fromkeys(lines))


def bibliography(lines: Sequence[str], software: Mapping[str, str]) -> str:
    """Lines of `references` as BibTeX, and the software as the first entry.

    Args:
        lines: a work each.
        software: fields of the entry of broca itself.
    """
    entries, used = [_entry("software", "broca", software)], {"broca"}
    for line in lines:
        kind, fields = _taken_apart(line)
        key = stem = _key(fields, line)
        for letter in "bcdefghijklmnopqrstuvwxyz":
            if key not in used:
                break
            key = stem + letter
        used.add(key)
        entries.append(_entry(kind, key, fields))
    return "\n".join(entries)


def _taken_apart(line: str) -> tuple[str, dict[str, str]]:
    """What kind of entry a line is, and its fields; a line of another form is a note."""
    if work := next((work for work in KNOWN.values() if work.text == line), None):
        return ("book" if work.book else "article"), work.fields
    found = _LINE.fullmatch(line.strip())
    if found is None:
        return "misc", {"note": line.strip()}
    authors, year, rest = found[1], found[2], found[3].rstrip(".")
    names = re.sub(r" et al\.?$", " and others", re.sub(r",? & |, ", " and ", authors))
    fields = {"author": names, "year": year}
    if journal := _JOURNAL.fullmatch(rest):
        return "article", fields | {"journal": journal[1], "volume": journal[2], "pages": journal[3].replace("-", "--")}
    if preprint := _PREPRINT.fullmatch(rest):
        return "misc", fields | {"title": preprint[1] or "", "eprint": preprint[2], "archiveprefix": "arXiv"}
    title, _, venue = rest.rpartition(", ")
    return (
        ("inproceedings", fields | {"title": title, "booktitle": venue})
        if title
        else ("misc", fields | {"title": rest})
    )


def _key(fields: Mapping[str, str], line: str) -> str:
    first = re.split(r"[ ,]", fields.get("author", line))[0]
    letters = unicodedata.normalize("NFKD", first).encode("ascii", "ignore").decode().lower()
    return (re.sub(r"[^a-z]+", "", letters) or "work") + fields.get("year", "")


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    # Who writes software has no family name: a second pair of braces says so.
    whole = {name: f"{{{_literal(value)}}}" for name, value in fields.items() if value}
    if kind == "software":
        whole["author"] = f"{{{whole['author']}}}"
    rows = "".join(f"  {name} = {value},\n" for name, value in whole.items())
    return f"@{kind}{{{key},\n{rows}}}\n"


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    c: f"\\{c}" for c in "&%$#_{}"
}


def _literal(text: str) -> str:
    """A text of which nothing acts in BibTeX."""
    return "".join(_SPECIAL.get(c, c) for c in " ".join(visible(text).split()))
