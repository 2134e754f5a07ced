"""A run that is otherwise than its spec expected is kept, and the command ends with code 3."""

from __future__ import annotations


def test_a_command_ends_with_code_3_where_its_expectation_was_not_met(typed, here):
    words = ("localize", "tiny", "--contrast", "c.csv", "--percent", 5)
    code, out, err = typed(*words, "--expect.learned", "not tested")
    assert code == 0, err
    assert "Expected beforehand" in out
    code, _, err = typed(*words, "--expect.learned", "passed")
    assert code == 3
    assert "learned: expected passed, found not tested" in " ".join(err.split())
    (first, second) = sorted(path for path in (here / "runs").iterdir() if path.name.startswith("localize"))
    spec = next(p for p in (first, second) if "passed" in (p / "spec.toml").read_text().partition("[study.expect]")[2])
    code, _, err = typed("run", spec)
    assert code == 3
