"""The operator's own traffic as a stratum of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guards.guard import Guard, Shared
from guards.part import FittedPart
from guards.samples import Sample, read_samples
from guards.verdict import TextPart


def written(folder: Path, *rows: object) -> Path:
    file = folder / "samples.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def test_texts_and_messages(tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "One?"}, {"type": "text", "text": "Two?"}]},
        {"role": "assistant", "content": None, "tool_calls": []},
    ]
    assert read_samples(written(tmp_path, {"text": "Where is the key?"}, {"messages": turns})) == [
        (TextPart("/prompt", "user", "Where is the key?"),),
        (
            TextPart("/messages/0/content", "system", "Be brief."),
            TextPart("/messages/1/content/0/text", "user", "One?"),
            TextPart("/messages/1/content/1/text", "user", "Two?"),
        ),
    ]


@pytest.mark.parametrize(
    "row", [{"question": "Where?"}, {"text": 3}, ["text"], "text", {"messages": [{"role": "user"}]}, {"messages": [1]}]
)
def test_lines_of_another_form(tmp_path: Path, row: object) -> None:
    with pytest.raises(ValueError, match=r"guard\.samples: .*samples\.jsonl line 2: expected .*leave it out"):
        read_samples(written(tmp_path, {"text": "Where is the key?"}, row))


def test_files_without_samples(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"guard\.samples: .* cannot be read as UTF-8 \(FileNotFoundError\)"):
        read_samples(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match=r"guard\.samples: .* holds no request"):
        read_samples(written(tmp_path))


def samples(*texts: str) -> list[Sample]:
    return [(TextPart("/prompt", "user", text),) for text in texts]


FILLER = tuple(f"How do I wash {number} woollen socks without shrinking them?" for number in range(100))
ASKED = "Which school for young wizards does the boy with the scar attend?"


def test_own_traffic_raises_the_cutoff(part: FittedPart, shared: Shared) -> None:
    """A shop that sells costumes of wizards is asked such things every day."""

    def flagged(own: list[Sample]) -> bool:
        guard = Guard.from_parts({"1": part.to_bytes()}, alpha=0.01, shared=shared, samples=own)
        return guard.scan([TextPart("/prompt", "user", ASKED)])[0].flagged

    assert flagged([])
    assert flagged(samples(*FILLER))
    assert not flagged(samples(*FILLER, *(f"{ASKED} Answer in {n} words." for n in range(20))))


def test_requests_with_a_name_are_left_out_and_the_rest_must_do(part: FittedPart, shared: Shared) -> None:
    own = samples(*FILLER[:50], *(f"Who wrote the Harry Potter book number {n}?" for n in range(60)))
    with pytest.raises(ValueError, match=r"50 of 110 requests are left .* alpha 0\.01 needs 99; give more"):
        Guard.from_parts({"1": part.to_bytes()}, alpha=0.01, shared=shared, samples=own)
    guard = Guard.from_parts({"1": part.to_bytes()}, alpha=0.02, shared=shared, samples=own)
    assert guard.scan([TextPart("/prompt", "user", "Who wrote Harry Potter?")])[0].source == "alias"
