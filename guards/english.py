"""English words: what a text may hold for its own sake, and not as a misspelling of a name.

The word list of an encoder's tokeniser is no dictionary: "pottery", "porter" and "hurry" are none of its words. The
list of the package `symspellpy` holds 82,834, inflected ones and common names too, that both the SCOWL spelling
dictionaries and the Google Books n-grams know. It is one file of 1.3 MB without any dependency, and unlike lists of all
words ever printed it holds hardly any misspellings. The package itself is not imported.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_PACKAGE = "symspellpy"
_FILE = "symspellpy/frequency_dictionary_en_82_765.txt"


def english_words() -> frozenset[str]:
    """The words in lower case. Raises `ModuleNotFoundError` where the package with the list is missing."""
    try:
        file = Path(str(distribution(_PACKAGE).locate_file(_FILE)))
    except PackageNotFoundError as error:
        raise ModuleNotFoundError(
            f"the package {_PACKAGE} is not installed; install lethe-llm with its dependencies"
        ) from error
    return frozenset(line.partition(" ")[0] for line in file.read_text(encoding="utf-8-sig").splitlines())
