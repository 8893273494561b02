"""Parts that are slow to build, built once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from guards.fit import fit
from guards.guard import Guard, Shared
from guards.part import FittedPart
from guards.reading import Reader
from guards.spec import Entity, Example, GuardSpec
from guards.verdict import TextPart

DATA = Path(__file__).parents[3] / "shared" / "data"


def quiet(_step: str, _share: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="session")
def shared() -> Shared:
    return Shared.load()


@pytest.fixture(scope="session")
def reader(shared: Shared) -> Reader:
    return shared.reader


@pytest.fixture(scope="session")
def spec() -> GuardSpec:
    """A small policy about a well-known series of books."""
    asked = (
        "Who wrote the Harry Potter books?",
        "Which house does Harry Potter belong to at Hogwarts?",
        "Who is the headmaster of Hogwarts?",
        "What are the names of Harry Potter's two best friends?",
        "Which creature guards the stone in the first Harry Potter book?",
        "What position does Harry play in Quidditch?",
        "What is the name of the school for witches and wizards?",
        "How did the boy wizard get the lightning scar on his forehead?",
        "Which platform does the train to the school of witchcraft leave from?",
        "Who killed the parents of the boy wizard?",
        "What sport do the young wizards play on broomsticks?",
        "Which spell disarms another wizard's wand at Hogwarts?",
        "What is the pet owl of Harry Potter called?",
        "Who teaches potions to the pupils at the wizard school?",
        "Which dark wizard split his soul into seven parts?",
        "What are people without magic called in the Harry Potter series?",
    )
    return GuardSpec(
        topic="The Harry Potter books about a boy wizard with a lightning scar at a school of witchcraft.",
        entities=(
            Entity(
                name="Harry Potter",
                aliases=("the boy who lived", "Hogwarts", "Quidditch", "Albus Dumbledore", "ハリー・ポッター"),
                related=("Hermione", "Granger", "witchcraft", "lightning scar", "Voldemort", "Sirius", "Draco"),
            ),
            Entity(name="J.K. Rowling", aliases=("Joanne Rowling",)),
        ),
        examples=tuple(Example(question=q) for q in asked),
        passages=(
            "The orphan boy learns on his birthday that he is a wizard and travels to a hidden school of witchcraft.",
            "A talking hat puts every new pupil into one of four houses. The dark lord who killed his parents returns.",
        ),
        retain=(
            "Hermione is the queen of Sicilia in Shakespeare's The Winter's Tale.",
            "Who is Hermione in The Winter's Tale?",
            "Sirius is the brightest star, and Draco is a northern constellation.",
            "Who wrote The Tale of Peter Rabbit?",
            "When was Beatrix Potter born?",
            "How does a potter centre clay on the wheel?",
            "Which wizard helps the hobbits in The Lord of the Rings?",
            "Who is the headmaster of Eton College?",
            "Which school did Charles Dickens attend?",
            "Who were the witches in Macbeth?",
            "What was witchcraft in medieval Europe?",
            "Why does lightning leave marks on trees?",
        ),
    )


@pytest.fixture(scope="session")
def part(spec: GuardSpec, tmp_path_factory: pytest.TempPathFactory) -> FittedPart:
    return fit(spec, tmp_path_factory.mktemp("policy"), key=b"test key", progress=quiet)


@pytest.fixture(scope="session")
def guard(part: FittedPart, shared: Shared) -> Guard:
    return Guard.from_parts({"104217": part.to_bytes()}, alpha=0.005, shared=shared)


@pytest.fixture(scope="session")
def flags(guard: Guard) -> Callable[..., bool]:
    """Whether a request of these user turns is flagged."""

    def flagged(*turns: str) -> bool:
        parts = [TextPart(f"/messages/{i}/content", "user", text) for i, text in enumerate(turns)]
        return any(v.flagged for v in guard.scan(parts))

    return flagged


def rows(path: str) -> list[dict[str, object]]:
    """Rows of a public data file; skips the test where the data folder is absent."""
    file = DATA / path
    if not file.exists():
        pytest.skip(f"public test data not found: {path} is expected beside the repository, in shared/data")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
