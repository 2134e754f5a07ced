"""Functions that read and that no registered reader reaches, each with why that is right."""

from __future__ import annotations

_OURS = "data that come with broca"
_PIPE = "what another process of ours writes into a pipe"
_SYSTEM = "what the operating system says"
_RUN = "files of a run, which are held against the checksums of its manifest: damage to each is a test of tests/runs"

FILES = {
    "workers/worker.py": _PIPE,
    "models/template_child.py": _PIPE,
    "models/templates.py": "its own JSON, made the line before",
    "reports/drawing_child.py": _PIPE,
    "runs/cells.py": _RUN,
    "runs/journal.py": _RUN,
    "runs/execution.py": _RUN,
    "runs/others.py": "manifests of neighbours: one that cannot be read counts as no run (tests/runs/test_others.py)",
    "runs/shards.py": _RUN,
    "runs/store.py": _RUN,
    "storage/temporary.py": _SYSTEM,
    "storage/lock.py": "the name of a holder, which is shown and nothing else",
    "storage/parquet_child.py": "runs in the process that decodes: the readers of Parquet go through it",
    "storage/secrets.py": "the user's own environment: a line that is none is left alone",
}
"""All functions of a file."""

FUNCTIONS = {
    ("cli/__init__.py", "main"): "opens the null device",
    ("reports/html.py", "_script"): _OURS,
    (
        "runs/sharing/pull.py",
        "_download",
    ): "what the hub gave, held against a size and a checksum: tests/runs/test_sharing.py",
    ("runs/sharing/push.py", "contents"): _RUN,
    ("models/proofs.py", "_here"): "the source of its own room, of which it takes the hash",
    (
        "models/proofs.py",
        "_reads",
    ): "compares: what is not byte for byte as expected is no proof (tests/models/test_proofs.py)",
    ("models/export.py", "_settle"): "opens what it has written, to flush it",
    ("models/identity.py", "identity"): "its own JSON, made in the same line",
    ("models/memory.py", "_host"): _SYSTEM,
    ("organisms/beliefs/phrases.py", "patterns"): _OURS,
    ("specs/fields.py", "_template_values"): "a value of a spec: tests/specs/test_template.py",
    ("specs/fields.py", "Template.values"): "what was checked when it was read",
    ("stimuli/cell_stories.py", "_stories"): _OURS,
    ("stimuli/language.py", "_data"): _OURS,
    ("stimuli/language.py", "_grammar"): _OURS,
    ("runs/verify.py", "_file"): "the first bytes, which say what reads the rest",
    ("stimuli/natural/lists.py", "_read"): _OURS,
    ("stimuli/natural/lists.py", "lists"): _OURS,
    ("stimuli/options.py", "parse_option"): "a text of the command line: tests/stimuli/test_options.py",
    ("stimuli/stories.py", "_stories"): _OURS,
    ("stimuli/texts.py", "plain"): _OURS,
}
