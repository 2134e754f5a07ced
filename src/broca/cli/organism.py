"""Commands about organisms: which there are, and how each, or any other model, is taught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cyclopts import App, Parameter

from broca.cli import terminal
from broca.cli.execute import check_model, options_for
from broca.cli.options import Loading, Options, given_fields, refuse
from broca.cli.progress import progress
from broca.page.shell import command

organism = App(name="organism", help="Small models with known insides that come with broca.")


@Parameter(name="*")
@dataclass(frozen=True)
class Tuning:
    """How a model that is there already is taught; only with --model."""

    part: Literal["full", "attention", "mlp", "norm", "lora"] | None = None
    """What may learn (full); needs --model."""
    batch: int | None = None
    """Questions a step (128); needs --model."""
    rate: float | None = None
    """Peak learning rate (2e-5; 2e-4 for norm and lora); needs --model."""
    look: int | None = None
    """Steps between two looks at held-out questions, each a checkpoint (250); needs --model."""


@organism.command(name="list")
def list_organisms() -> None:
    """Name the organisms that come with broca."""
    from broca.organisms import NAMES, organism_path

    terminal.facts([(name, str(organism_path(name))) for name in NAMES])
    terminal.following({}, command("inspect", NAMES[0]))


@organism.command
def train(
    name: str,
    *,
    model: str | None = None,
    options: Options = None,
    tuning: Tuning = Tuning(),
    out: Path | None = None,
    seed: int = 0,
    steps: int | None = None,
) -> None:
    """Train an organism anew, from its own generated world; or, with --model, teach any model a task of trees.

    A training with --model, or of kth and rules, that was stopped goes on with the same command.

    Args:
        name: Which organism; with --model, a task (kth, rules, proofwriter, arc) or a file of trees.
        model: Directory, GGUF file, hub id, shipped organism, or smollm2, to start from.
        out: Directory to write the model to.
        seed: Seed of weights and world.
        steps: Training steps, where not the usual number.
    """
    from broca.storage import probe, writing

    refuse(asdict(tuning), "--model", met=model is not None)
    usual = name if model is None else f"{Path(model).name}-{Path(name).stem}"
    target = Path("organisms") / usual if out is None else out
    probe(target, folder=True)
    train = _anew(name, options) if model is None else _tuning(name, model, options, tuning)
    with writing(target), progress() as tell:
        made = train(target, seed=seed, progress=tell, **given_fields(steps=steps))
    terminal.facts([(ability, f"{accuracy:.1%}") for ability, accuracy in made.accuracy.items()])
    terminal.following({"model": str(target), "report": str(target / "training.json")}, command("inspect", target))


def _anew(name: str, options: dict[str, str] | None) -> Callable[..., Any]:
    """What trains an organism from nothing."""
    from broca.organisms import trainer
    from broca.stimuli.options import call, hints, option_names

    make = trainer(name)
    own = {option: hint for option, hint in hints(getattr(make, "func", make)).items() if option in option_names(make)}
    more = options_for(options, own)
    return lambda target, **how: call(f"organism {name!r}", make, target, options=how | more)


def _tuning(task: str, model: str, options: dict[str, str] | None, tuning: Tuning) -> Callable[..., Any]:
    """What teaches a model a task of trees."""
    from broca.organisms.finetuning import tune
    from broca.stimuli.trees import option_types

    check_model(model, Loading())
    own, how = options_for(options, option_types(task)), given_fields(**asdict(tuning))
    return lambda target, **more: tune(task, model, target, options=own, **how, **more)
