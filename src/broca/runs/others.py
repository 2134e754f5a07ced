"""The other runs of a folder that looked at the same items with the same model: how often somebody has tried before.

They are counted when a run ends and stand in its manifest, so that they go where the run goes and its results do not depend on its
neighbours. A run does not know those that come after it; they know it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broca.errors import RunError
from broca.runs.formats import canonical
from broca.runs.manifest import read_manifest
from broca.runs.opening import partial_of
from broca.runs.reading import MANIFEST, SPEC
from broca.runs.spec import parse_spec
from broca.storage import read

_NAMED = ("task", "items", "contrast")
"""The fields of a study that name what it shows, where it has no content hash of it."""


def other_runs(final: Path, manifest: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, int]:
    """Finished and unfinished runs beside `final` on the same model and on some of the same items, by kind.

    Only manifests are read, and the specs of runs whose data have no hash. What cannot be read counts as no run.

    Args:
        final: the directory of the run, which does not count.
        manifest: of the run.
        study: of the run.
    """
    model, own = canonical(manifest["model"].get("identity")), _data_of(manifest, study)
    found: Counter[str] = Counter()
    for place in sorted(final.parent.iterdir()):
        if place in (final, partial_of(final)) or not (place / MANIFEST).is_file():
            continue
        with contextlib.suppress(RunError, LookupError, TypeError, AttributeError):
            other, _ = read_manifest(read(place / MANIFEST), place / MANIFEST)
            same = canonical(other["model"].get("identity")) == model
            spec = {} if other["data"] else parse_spec(read(place / SPEC), place / SPEC)["study"]
            if same and own & _data_of(other, spec):
                found[str(other["kind"])] += 1
    return dict(sorted(found.items()))


def _data_of(manifest: Mapping[str, Any], study: Mapping[str, Any]) -> set[str]:
    """What stands for the data of a run: content hashes, or the names of what it shows where there are none."""
    return set(map(str, manifest["data"].values())) or {str(study[name]) for name in _NAMED if study.get(name)}
