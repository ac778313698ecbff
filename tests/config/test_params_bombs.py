"""What a small params.yaml may not ask for: aliases that stand for millions of values, values inside themselves, thousands of seeds."""

from pathlib import Path

import pytest
from small_params import changed, refusal

from confidnet_core.files import read_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
REFUSED = {
    "aliases of aliases": (BOMB, r"its aliases \(\*name\) stand for more than 1,000,000 values"),
    "a list inside itself": ("a: &a [1, *a]\n", r"an alias \(\*name\) stands inside the value that it is an alias of; write the value out"),
    "a mapping inside itself": ("a: &a {b: {c: *a}}\n", "an alias .* stands inside the value"),
    "thousands of brackets": ("a: " + "[" * 5000 + "]" * 5000, "is nested too deeply; expected a few levels of keys"),
    "a day that there is not": ("a: 2026-02-30\n", "is not valid YAML in UTF-8"),
    "an alias of nothing": ("a: *b\n", "is not valid YAML in UTF-8; mend it: found undefined alias"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_file_that_would_fill_the_memory_is_refused_in_one_line(fault: str, tmp_path: Path) -> None:
    content, message = REFUSED[fault]
    (tmp_path / "params.yaml").write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_yaml(tmp_path / "params.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/params.yaml ") and "\n" not in str(caught.value)


def test_an_alias_of_an_ordinary_section_is_read(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("a: &a {b: 1}\nc: [*a, *a]\nd: {<<: *a, e: 2}\n")
    assert read_yaml(tmp_path / "params.yaml") == {"a": {"b": 1}, "c": [{"b": 1}, {"b": 1}], "d": {"b": 1, "e": 2}}


def test_thousands_of_target_risks_are_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, changed(("thresholds", "risks"), [step / 3001 for step in range(1, 3001)]))
    assert message.endswith("; expected 1 to 100 error rates") and len(message) < 400


def test_thousands_of_seeds_are_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, changed(("seeds",), list(range(3000))))
    assert message.endswith("; expected 1 to 1,000 seeds") and len(message) < 400
