"""Which weights does an ability hang on? Squared gradients, task minus general, swept, against matched random masks."""

from __future__ import annotations

from broca.cache.cache import Cache, Progress, no_cache, silent
from broca.errors import SpecError
from broca.instruments.sensitivity.result import SensitivityResult
from broca.instruments.sensitivity.spec import Sensitivity
from broca.models.lm import LM


def run(spec: Sensitivity, lm: LM, *, cache: Cache = no_cache, progress: Progress = silent) -> SensitivityResult:
    """Score, choose a fraction, mask, compare.

    Raises:
        SpecError: if the model is of another dtype than the study asks for.
        GuardError: if the model lacks the ability, or a matrix gets no gradient.
        SelectionError: if no fraction leaves a weight to mask, or there are too few items to share out.
        SiteUnavailable: if weights are tied, quantised or offloaded.
        StatisticsError, StimulusError, UnknownName: if scores are not finite, or what is asked for does not exist.
    """
    from broca.instruments.sensitivity.findings import result
    from broca.instruments.sensitivity.work import Work

    own = str(lm.dtype).removeprefix("torch.")
    if spec.dtype not in {None, own}:
        raise SpecError(
            f"This study is done in {spec.dtype}{f', as {spec.preset} was' if spec.preset else ''}, and the model was loaded in {own}. Load "
            f"it in {spec.dtype} (--dtype {spec.dtype}), or ask for dtype={own!r}."
        )
    return result(Work(spec, lm, cache, progress))
