"""Running text that every installation has: Python's manual and docstrings, and those of the required libraries.

What else is installed changes nothing, so that a guard decides alike in two environments with the same versions. All of
it is English: the manuals in other languages that the packages have are not in what pip installs.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import distribution, version
from itertools import islice
from pathlib import Path, PurePath
from platform import python_version

LIBRARIES = (
    "aiohttp",
    "anyascii",
    "cryptography",
    "fastapi",
    "httptools",
    "numpy",
    "orjson",
    "prometheus-client",
    "pyahocorasick",
    "pydantic",
    "pydantic-settings",
    "rich",
    "safetensors",
    "scikit-learn",
    "scipy",
    "starlette",
    "symspellpy",
    "threadpoolctl",
    "tokenizers",
    "typer",
    "uvicorn",
    "uvloop",
    "wordllama",
)
"""Direct dependencies, and starlette, which fastapi is made of."""
MOST = 2500
"""Documents of one library; some have more docstrings than all others together."""
_LONGEST, _OPENING = 2400, 20_000
"""Characters of a paragraph; characters that are read of a distribution's description."""
_ELSEWHERE = frozenset(("site-packages", "dist-packages", "test", "tests", "testing", "pydoc_data"))
_SEPARATE = frozenset(("idlelib", "lib2to3", "tkinter", "turtledemo", "ensurepip", "distutils"))
"""Not in every distribution of Python."""
_PROSE = frozenset((".md", ".rst", ".txt"))


@dataclass(frozen=True, slots=True)
class Document:
    """Paragraphs that belong together, in their order. `source` is a library, `python` or `manual`."""

    source: str
    paragraphs: tuple[str, ...]


def paragraphs(text: str) -> Iterator[str]:
    """Running text: paragraphs of some length that are mostly letters."""
    for block in re.split(r"\n\s*\n", text):
        paragraph = " ".join(block.split())[:_LONGEST]
        letters = len(re.findall(r"[A-Za-z ]", paragraph))
        if letters > max(60, len(paragraph) * 0.8):
            yield paragraph


def manuals() -> Iterator[Document]:
    """Python's manual and the descriptions of the libraries: quick to read."""
    for topic in import_module("pydoc_data.topics").topics.values():
        yield Document("manual", tuple(paragraphs(topic)))
    for library in LIBRARIES:
        _, _, description = (distribution(library).read_text("METADATA") or "").partition("\n\n")
        yield Document(library, tuple(paragraphs(description[:_OPENING])))


def documents() -> Iterator[Document]:
    """The manuals, then docstrings and text files of Python and of the libraries; takes seconds.

    The files of a source come in the order of their digests, so that a part of them is a sample.
    """
    yield from manuals()
    library = Path(sysconfig.get_path("stdlib"))
    yield from _read("python", library, [f.relative_to(library) for f in library.rglob("*.py")])
    for name in LIBRARIES:
        listed = distribution(name)
        if listed.files is not None:
            root = Path(str(listed.locate_file("")))
            yield from islice(_read(name, root, [PurePath(str(file)) for file in listed.files]), MOST)


def versions() -> str:
    """What the documents depend on: versions of Python and of the libraries, and how they are read."""
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return "\n".join((python_version(), code, *(f"{name} {version(name)}" for name in LIBRARIES)))


def _read(source: str, root: Path, files: list[PurePath]) -> Iterator[Document]:
    kept = {
        file.as_posix(): file
        for file in files
        if not (_ELSEWHERE | _SEPARATE) & set(file.parts) and ".." not in file.parts
    }
    for name in sorted(kept, key=lambda name: hashlib.sha256(name.encode()).digest()):
        file = root / kept[name]
        if file.suffix == ".py":
            texts = _docstrings(file.read_bytes())
        elif file.suffix in _PROSE:
            texts = [file.read_text(encoding="utf-8", errors="replace")]
        else:
            continue
        for text in texts:
            found = tuple(paragraphs(text))
            if found:
                yield Document(source, found)


def _docstrings(source: bytes) -> list[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # templates of code that end in .py
        return []
    defined = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, defined)]
