"""Harmless general texts of four lengths, from what a machine carries and from public benchmarks.

Not from the sources that the guards calibrate on, which are Python and the libraries that Lethe requires;
what shares eight words in a row with any text that a guard saw is dropped, and what mostly repeats an earlier one.
"""

from __future__ import annotations

import ast
import csv
import gzip
import random
import re
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from itertools import islice
from pathlib import Path

from benchmarks.guards.overlap import Seen
from guards.corpus_documents import LIBRARIES

STRATA = {
    "under 25 words": (6, 24),
    "25 to 99 words": (25, 99),
    "100 to 399 words": (100, 399),
    "400 words and more": (400, 1200),
}
"""Name -> fewest and most words."""
MOST_PIECES = 8
"""Texts that are cut from one document."""
REPEATED = 0.3
"""Share of runs of words from which on a text counts as a repetition of others."""
_MACRO = re.compile(r"^[.'].*$|\\f[BIRP]|\\f\(..", re.MULTILINE)
_ESCAPE = re.compile(r"\\(?:\((..)|(.))")
_LONGEST_FILE = 400_000


@dataclass(frozen=True, slots=True)
class Document:
    """Paragraphs of one source that belong together."""

    source: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class General:
    """A harmless text."""

    text: str
    source: str
    stratum: str


def documents(data: Path, fortunes: Path, files: int) -> list[Document]:
    """All documents, public questions first; of every other source at most `files` files, drawn by name.

    Args:
        data: folder with `truthfulqa/TruthfulQA.csv`; without the file that source is missing.
        fortunes: folder of Debian's fortune files; the same.
    """
    site = Path(sysconfig.get_path("purelib"))
    questions = list(_truthfulqa(data / "truthfulqa" / "TruthfulQA.csv"))
    found = [
        *_fortunes(fortunes),
        *_each("library docstrings", _python(site), files, _docstrings),
        *_each("manual pages", sorted(Path("/usr/share/man").glob("man*/*.gz")), files, _manual),
        *_each("package documents", _readable(Path("/usr/share/doc")), files, _prose),
    ]
    random.Random("documents").shuffle(found)
    return questions + found


def general(found: Sequence[Document], seen: Seen, each: int) -> list[General]:
    """Cut distinct texts, `each` per stratum if there are enough; no two from the same words.

    `seen` is added to, so that no other set takes the same text.
    """
    texts: dict[str, list[General]] = {stratum: [] for stratum in STRATA}
    own = Seen()
    for document in found:
        open_ = [s for s in STRATA if len(texts[s]) < each and _words(document) >= STRATA[s][0]]
        if not open_:
            continue
        stratum = min(open_, key=lambda s: len(texts[s]) - 1e-3 * list(STRATA).index(s))
        for text in islice(_cut(document, *STRATA[stratum]), MOST_PIECES):
            if len(texts[stratum]) < each and not seen.shares(text) and own.share(text) < REPEATED:
                own.add(text)
                texts[stratum].append(General(text, document.source, stratum))
    distinct = {item.text: item for listed in texts.values() for item in listed}
    return list(distinct.values())


def _words(document: Document) -> int:
    return sum(len(p.split()) for p in document.paragraphs)


def _cut(document: Document, fewest: int, most: int) -> Iterator[str]:
    """Runs of paragraphs, or sentences where a paragraph is too long for the stratum."""
    pieces: list[str] = []
    length = 0
    units = document.paragraphs if most > 24 else [s for p in document.paragraphs for s in re.split(r"(?<=[.?!]) ", p)]
    aim = fewest if most <= 24 else (fewest + most) // 3
    for unit in units:
        words = len(unit.split())
        if length + words > most:
            pieces, length = [], 0
            if words > most:
                continue
        pieces.append(unit)
        length += words
        if length >= max(fewest, aim):
            yield (" " if most <= 24 else "\n\n").join(pieces)
            pieces, length = [], 0
    if length >= fewest:
        yield "\n\n".join(pieces)


def _each(source: str, files: Iterable[Path], most: int, read: Callable[[str], Iterable[str]]) -> Iterator[Document]:
    listed = list(files)
    random.Random(source).shuffle(listed)
    for file in listed[:most]:
        paragraphs = tuple(_clean(read(_text(file))))
        if paragraphs:
            yield Document(source, paragraphs)


def _text(file: Path) -> str:
    data = file.read_bytes()[:_LONGEST_FILE]
    if file.suffix == ".gz":
        with gzip.open(file) as opened:
            data = opened.read(_LONGEST_FILE)
    return data.decode("utf-8", "replace")


def _clean(paragraphs: Iterable[str]) -> Iterator[str]:
    """Running text: of some length, mostly letters, with few signs of code."""
    for paragraph in paragraphs:
        text = " ".join(paragraph.split())
        letters = len(re.findall(r"[^\W\d_]| ", text))
        if 5 <= len(text.split()) <= 1000 and letters > 0.85 * len(text):
            yield text


def _blocks(text: str) -> list[str]:
    return re.split(r"\n\s*\n", text)


_prose = _blocks


def _docstrings(text: str) -> Iterator[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # files of a library's tests may be broken on purpose
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _blocks(ast.get_docstring(node) or "")


def _manual(text: str) -> list[str]:
    def spelled(match: re.Match[str]) -> str:
        return {"aq": "'", "dq": '"', "en": "-", "em": "-", "bu": ""}.get(match[1] or "", match[2] or "").strip("&")

    return _blocks(_ESCAPE.sub(spelled, _MACRO.sub("", text)))


def _python(site: Path) -> list[Path]:
    """Code of all installed libraries but those that the guards calibrate on."""
    known = {"test", "tests"} | {file.parts[0] for name in LIBRARIES for file in distribution(name).files or ()}
    return sorted(f for f in site.rglob("*.py") if not known & set(f.relative_to(site).parts))


def _readable(folder: Path) -> list[Path]:
    found = [*folder.glob("*/README*"), *folder.glob("*/FAQ*"), *folder.glob("*/*.txt*"), *folder.glob("*/NEWS*")]
    return sorted(f for f in found if f.suffix in ("", ".gz", ".txt", ".md", ".Debian", ".rst") and f.is_file())


def _truthfulqa(file: Path) -> Iterator[Document]:
    if file.is_file():
        with file.open(encoding="utf-8-sig", newline="") as opened:
            for row in csv.DictReader(opened):
                yield Document("TruthfulQA", (row["Question"],))


def _fortunes(folder: Path) -> Iterator[Document]:
    if folder.is_dir():
        for file in sorted(f for f in folder.iterdir() if not f.suffix):
            for fortune in file.read_text(encoding="utf-8", errors="replace").split("\n%\n"):
                paragraphs = tuple(_clean(_blocks(fortune)))
                if paragraphs:
                    yield Document("fortunes", paragraphs)
