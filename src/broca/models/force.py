"""What is in force on a model: interventions, applied left to right, each with the guard that its edits really run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from broca.errors import GuardError, InterventionError
from broca.models.hooks import suspensions
from broca.sites import PICTURE_KINDS, Site


class Intervention(Protocol):
    """A reversible change to a model: in force inside the context, gone after it, bit for bit.

    What it has to know of the texts it reads from the pass under way (`broca.models.passes.current`): which tokens these are, and
    where the prompt of each ends.
    """

    @property
    def fingerprint(self) -> str:
        """Content hash: part of the address of every result obtained under it."""
        ...

    @property
    def reads_prompt(self) -> bool:
        """Whether it takes the tensor that it is shown for a prompt: one that edits the last column, say, or mixes tokens.

        Then it is never shown a prompt in parts, nor prompt and answer in one go. What goes by the pass under way can say False.
        """
        ...

    def apply(self, lm: Any) -> AbstractContextManager[Mapping[Site, int] | None]:
        """Put the change in force on an `broca.models.lm.LM`; yields how often each edit has run, where it edits activations."""
        ...


@dataclass(frozen=True, slots=True)
class Force:
    """One intervention in force."""

    intervention: Intervention
    runs: Mapping[Site, int]
    """How often each of its edits has run; empty where it edits no activations."""
    depth: int
    """The suspensions around the place where it was applied: it sleeps in deeper ones."""


@dataclass(slots=True)
class Forces:
    """All interventions in force on one model, outermost first."""

    all: list[Force] = field(default_factory=list)

    @contextmanager
    def apply(self, lm: object, interventions: Sequence[Intervention]) -> Iterator[None]:
        """Run the body with every intervention in force.

        Raises:
            InterventionError: if one does not declare what an intervention must.
        """
        for intervention in interventions:
            _check(intervention)
        # What was written before a model was known takes its shape here.
        interventions = [getattr(each, "for_model", lambda _, each=each: each)(lm) for each in interventions]
        before = len(self.all)
        try:
            with ExitStack() as stack:
                for intervention in interventions:
                    runs = stack.enter_context(intervention.apply(lm))
                    self.all.append(Force(intervention, runs or {}, suspensions()))
                yield
        finally:
            # Also when a later intervention could not be applied: what is not in force must not be in the address.
            del self.all[before:]

    def assert_fired(self) -> None:
        """Every edit in force has run at least once.

        Raises:
            GuardError: naming the sites whose edit never ran.
        """
        if silent := [str(site) for force in self.all for site, times in force.runs.items() if not times]:
            raise _silent(silent, "never ran")

    @contextmanager
    def count_runs(self, due: Callable[[Site], bool], when: str) -> Iterator[None]:
        """Run the body, and see that every edit in force that is due in it ran.

        Args:
            due: whether the module at a site runs in the body.
            when: what the body is, for the message.

        Raises:
            GuardError: naming the sites whose edit did not run.
        """
        awake = [force for force in self.all if force.runs and suspensions() <= force.depth]
        before = [dict(force.runs) for force in awake]
        yield
        silent = [
            str(site)
            for force, counts in zip(awake, before, strict=True)
            for site, times in force.runs.items()
            if times == counts.get(site, 0) and due(site)
        ]
        if silent:
            raise _silent(silent, f"did not run in {when}")


def reads_ahead(intervention: Intervention) -> bool:
    """Whether what an intervention does to a token may depend on what follows it: the end of its prompt, say, or the whole of it.

    One that declares `reads_ahead = False` does not: then a beginning that prompts share is read once for all of them. Of one that
    declares nothing the worst is assumed.
    """
    return getattr(intervention, "reads_ahead", True)


def on_words(site: Site) -> bool:
    """Whether a site's module runs where no pictures are read."""
    return site.kind not in PICTURE_KINDS


def _silent(sites: Sequence[str], what: str) -> GuardError:
    return GuardError(
        f"The intervention at {', '.join(sites)} {what}: this forward pass skips these modules, so the result would be the intact "
        "model's. Choose sites that the model uses on this input."
    )


_LINES = {
    "fingerprint": 'fingerprint = "scale 12.mlp_out 0.5"  # everything that its effect depends on',
    "reads_prompt": "reads_prompt = False  # True if it takes the tensor that it is shown for a whole prompt",
    "apply": "def apply(self, lm): ...  # a context manager that puts it in force",
}


def _check(intervention: Intervention) -> None:
    """Refuse what does not declare all of an intervention, with the line to write."""
    for name, line in _LINES.items():
        if not hasattr(intervention, name):
            raise InterventionError(
                f"{type(intervention).__name__} does not declare {name!r}, and nothing is assumed of an intervention. Write into its "
                f"class: {line}"
            )
