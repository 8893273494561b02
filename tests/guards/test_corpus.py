"""Running text for the calibration: enough of it, read once, kept whole, and runs of honest length."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from guards import corpus_cache, corpus_documents
from guards.aliases import AliasIndex
from guards.benign import benign, half_of
from guards.corpus_cache import Arrays, kept
from guards.corpus_documents import documents
from guards.corpus_prose import LENGTHS, PAGE, READ_BY, RUNS, Prose
from guards.evidence import Models, indexed
from guards.guard import Shared
from guards.part import FittedName, FittedPart
from guards.reading import Reader
from guards.scored import Scored

TEXTS = [f"The {word} stands beside the old mill, and nobody has moved it for years." for word in "abcdefghijkl"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "lethe" / "guards"


def counting() -> tuple[Callable[[], Arrays], list[int]]:
    made: list[int] = []

    def make() -> Arrays:
        made.append(len(made))
        return {"a": np.arange(5), "b": np.ones((2, 3), np.float16)}

    return make, made


def imported(module: str) -> set[str]:
    """Modules of the guards that a module of theirs imports, anywhere in its code."""
    tree = ast.parse((Path(corpus_cache.__file__).parent / f"{module}.py").read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "guards":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("guards."):
            found.add(node.module.removeprefix("guards."))
    return found


def test_kept_vectors_depend_on_all_code_that_reads() -> None:
    known: set[str] = set()
    new = {"reading", "turns", "classifier"}
    while new:
        known |= new
        new = set().union(*map(imported, new)) - known
    assert set(READ_BY) == known
    assert {"letters", "normalize"} <= known


def test_arrays_are_made_once(home: Path) -> None:
    make, made = counting()
    for _ in range(3):
        found = kept("kind", "source", make)
        assert found["a"].tolist() == [0, 1, 2, 3, 4]
        assert found["b"].dtype == np.float16
    assert made == [0]
    kept("kind", "another source", make)
    assert made == [0, 1]
    assert len(list(home.iterdir())) == 2


@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:-1] + b"?", lambda data: b"x" * 99],
)
def test_a_spoilt_file_is_made_again(home: Path, spoil: Callable[[bytes], bytes]) -> None:
    make, made = counting()
    kept("kind", "source", make)
    (file,) = home.iterdir()
    file.write_bytes(spoil(file.read_bytes()))
    assert kept("kind", "source", make)["a"].tolist() == [0, 1, 2, 3, 4]
    kept("kind", "source", make)
    assert made == [0, 1]


def test_a_folder_that_cannot_be_written(home: Path) -> None:
    home.parent.mkdir()
    home.write_text("a file where the folder should be", encoding="utf-8")
    make, made = counting()
    for _ in range(2):
        assert kept("kind", "source", make)["a"].tolist() == [0, 1, 2, 3, 4]
    assert made == [0, 1]
    assert home.is_file()


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run under a number that the system does not know."""

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    make, made = counting()
    for _ in range(2):
        assert kept("kind", "source", make)["a"].tolist() == [0, 1, 2, 3, 4]
    assert made == [0, 1]


def test_old_files_go(home: Path) -> None:
    make, _ = counting()
    kept("other", "source", make)
    for number in range(corpus_cache.MOST + 3):
        kept("kind", str(number), make)
    kinds = sorted(file.name.partition("-")[0] for file in home.iterdir())
    assert kinds == ["kind"] * corpus_cache.MOST + ["other"]


def test_size_and_halves(shared: Shared) -> None:
    assert shared.prose is not None
    texts = shared.prose.texts
    requests = [item.text for item in benign("calibration") if not item.document]
    assert len(set(texts)) + len(requests) >= 20_000
    assert len(set(texts)) == len(texts)
    assert all(half_of(text) == "calibration" for text in texts)
    assert not {item.text for item in benign("fit")} & set(texts)
    words = [len(text.split()) for text in texts]
    assert sum(n < 15 for n in words) > 1000
    assert sum(n > 100 for n in words) > 300


def test_documents_of_what_is_required_and_of_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "This sentence is long enough to count as running text, and it stands in a docstring of {}."
    for name in ("here.py", "idlelib/there.py", "site-packages/other.py", "test/test_it.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'def f():\n    """{said.format(name)}"""\n', encoding="utf-8")
    (tmp_path / "template.py").write_text("{{ this is not Python }}", encoding="utf-8")
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(corpus_documents, "LIBRARIES", ("uvicorn",))
    found = list(documents())
    assert [d.paragraphs for d in found if d.source == "python"] == [(said.format("here.py"),)]
    assert {d.source for d in found} == {"manual", "python", "uvicorn"}
    assert sum(d.source == "uvicorn" for d in found) > 10


def test_runs_have_the_length_that_they_stand_for(shared: Shared) -> None:
    """A text counts in a run if it is in it: the score of text i is i, and runs are of neighbours."""
    assert shared.prose is not None
    lengths = np.array([100, 20, 30, 500, 90, 60, 70, 40], np.int64)
    prose = replace(shared.prose, texts=tuple(TEXTS[:8]), lengths=lengths)
    best = np.arange(8, dtype=np.float32)[:, None]
    nothing = np.full((8, 1), -np.inf, np.float32)
    scored = Scored(best, nothing, np.zeros((8, 1), bool), np.zeros(8, bool))

    def statistics(scored: Scored, length: int) -> list[float]:
        return sorted(prose.statistics(scored, np.zeros(1, np.float32), length)[:, 0].tolist())

    assert statistics(scored, 128) == [2, 5, 6]  # 100 + 20 + 30, 90 + 60, 60 + 70; others are too long, or end early
    border = nothing.copy()
    border[4] = 9
    assert statistics(replace(scored, border=border), 128) == [2, 6, 9]
    decided = np.arange(8) == 5
    assert statistics(replace(scored, border=border, decided=decided), 128) == [2, 4, 6]


def test_every_level_has_enough_runs(shared: Shared) -> None:
    prose = shared.prose
    assert prose is not None
    count = len(prose.texts)
    nothing = np.zeros((count, 1), np.float32)
    scored = Scored(nothing, nothing, np.zeros((count, 1), bool), np.zeros(count, bool))
    for length in LENGTHS:
        assert len(prose.statistics(scored, np.zeros(1, np.float32), length)) == RUNS


def test_names_and_attributes_are_those_of_their_paragraph(part: FittedPart, reader: Reader) -> None:
    texts = [TEXTS[i % len(TEXTS)].replace("mill", f"mill of number {i}") for i in range(PAGE + 9)]
    texts[3] = "Here Zanzibar Quill is mentioned, who was born in a lighthouse near the sea."
    texts[PAGE + 2] = "In this paragraph stands Zanzibar alone, and it is an island and nothing else."
    names = (
        FittedName("Zanzibar Quill", 0, "alias", 0),
        FittedName("Zanzibar", 0, "related", 1),
    )
    described = replace(part, names=names, together=(), attributes=({"lighthouse": 30.0},))
    models = Models([described], AliasIndex(indexed([described]), reader.normalizer), reader.encoder.dim)
    scored = Prose.read(reader, texts).scored(models, reader.normalizer)
    assert np.flatnonzero(scored.named[:, 0]).tolist() == [3, PAGE + 2]
    assert np.flatnonzero(scored.decided).tolist() == [3]
    assert np.flatnonzero(scored.best[:, 0] >= 30).tolist() == [3]
    assert set(np.flatnonzero(scored.border[:, 0] >= 30).tolist()) <= {
        1,
        2,
        3,
    }  # windows that begin before, or end after
    one = models.scores(reader.read(texts[7]).vectors).max()
    assert scored.best[7, 0] == pytest.approx(one, abs=1e-2)  # vectors are kept in half precision
