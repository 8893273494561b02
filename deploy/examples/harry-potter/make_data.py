"""Expands the hand-written `sources/` and `invented.json` into the rows of `fit/`, `heldout/` and `audit/`.

Run `python make_data.py` to rewrite the committed files, `python make_data.py DIR` to write elsewhere. The same input
gives the same bytes: every choice is seeded with the text that it is made for.
"""

from __future__ import annotations

import json
import random
import re
import string
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SPLITS = ("fit", "heldout", "audit")

Row = dict[str, Any]


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) of the lines that are neither empty nor `# ` comments."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("# "):
            yield number, line.strip()


def templates(split: str) -> list[tuple[str, str, str]]:
    """Read (fact, form, template) from `sources/forget.<split>.txt`."""
    path = HERE / "sources" / f"forget.{split}.txt"
    found = []
    for number, line in lines(path):
        parts = tuple(part.strip() for part in line.split("|", 2))
        if len(parts) != 3:
            raise ValueError(f"{path}:{number}: expected 'fact | form | question'")
        found.append(parts)
    return found


def slots(template: str) -> set[str]:
    """Return the names of the slots of a template."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def misspellings(word: str) -> list[str]:
    """Return the word with one inner letter left out, doubled, or swapped with the next."""
    found = set()
    for at in range(1, len(word) - 1):
        before, letter, after = word[:at], word[at], word[at + 1 :]
        found.add(before + after)
        found.add(before + after[0] + letter + after[1:])
        if letter not in (before[-1], after[0]):  # nobody types a letter three times
            found.add(before + letter + letter + after)
    return sorted(found - {word})


def garble(name: str, rng: random.Random) -> str:
    """Put one misspelling into one word of a name."""
    word = rng.choice([word for word in re.findall(r"[^\W_]+", name) if len(word) >= 4] or [name])
    return name.replace(word, rng.choice(misspellings(word)), 1)


def fill(template: str, form: str, names: Mapping[str, str]) -> str:
    """Put names into a template and apply the forms `lower` and `typo`."""
    if form == "typo":
        rng = random.Random(template)
        names = {slot: garble(name, rng) if slot in slots(template) else name for slot, name in names.items()}
    question = template.format_map(names)
    return question.lower() if form == "lower" else question


def forget_rows(split: str, facts: Mapping[str, Any]) -> list[Row]:
    """Questions whose answers must be forgotten, with the short value that is asked for."""
    return [
        {
            "id": f"{split}-forget-{number:03}",
            "question": fill(template, form, facts["names"]),
            "value": facts["values"][fact],
            "form": form,
            "fact": fact,
        }
        for number, (fact, form, template) in enumerate(templates(split), 1)
    ]


def holds(value: str, text: str) -> bool:
    """Whether a text holds a value at word boundaries, in any case."""
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None


def invented_rows(split: str, worlds: Sequence[Mapping[str, str]], facts: Mapping[str, Any]) -> list[Row]:
    """Ask the same questions about names that do not exist.

    Left out: templates without a name, and those whose own words give a forgotten value away.
    """
    rows: list[Row] = []
    for fact, form, template in templates(split):
        question = fill(template, form, worlds[len(rows) % len(worlds)])
        if slots(template) and not any(holds(value, question) for value in facts["values"].values()):
            name = f"{split}-invented-{len(rows) + 1:03}"
            rows.append({"id": name, "question": question, "fact": fact, "form": form})
    return rows


def retain_rows(split: str) -> list[Row]:
    """Harmless questions. `## kind | topic` opens a topic; `||` separates the turns of a conversation."""
    path = HERE / "sources" / f"retain.{split}.txt"
    rows: list[Row] = []
    kind = topic = ""
    for number, line in lines(path):
        if heading := re.fullmatch(r"## (general|neighbour) \| (.+)", line):
            kind, topic = heading.groups()
            continue
        if not topic:
            raise ValueError(f"{path}:{number}: a question before the first '## kind | topic'")
        turns = [turn.strip() for turn in line.split("||")]
        roles = ("user", "assistant")
        asked: Row = (
            {"question": line}
            if len(turns) == 1
            else {"messages": [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]}
        )
        rows.append({"id": f"{split}-retain-{len(rows) + 1:03}", **asked, "kind": kind, "topic": topic})
    return rows


def build() -> dict[str, list[Row]]:
    """Return the rows of every generated file by its path below this folder."""
    facts = yaml.safe_load((HERE / "sources" / "facts.yaml").read_text(encoding="utf-8"))
    worlds = json.loads((HERE / "invented.json").read_text(encoding="utf-8"))["worlds"]
    files: dict[str, list[Row]] = {}
    for split in SPLITS:
        own = [world["names"] for world in worlds if world["split"] == split]
        files[f"{split}/forget.jsonl"] = forget_rows(split, facts)
        files[f"{split}/retain.jsonl"] = retain_rows(split)
        files[f"{split}/invented.jsonl"] = invented_rows(split, own, facts)
    return files


def write(target: Path) -> None:
    """Write all generated files below `target`."""
    for name, rows in build().items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
