"""The documents stay true: modules, commands and settings that they name exist, and none is left out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_module_is_in_the_architecture() -> None:
    tables = {p: ARCHITECTURE.split(f"\n{p}: ")[1].split("\n\n")[0] for p in ("gateway", "guards")}
    tables["steering"] = ARCHITECTURE.split("\nsteering: ")[1]
    for package, table in tables.items():
        for file in sorted((ROOT / package).rglob("*.py")):
            inside = file.relative_to(ROOT / package)
            if file.name != "__init__.py" and inside.parts[0] != "commands":
                assert f"{file.name}`" in table, f"ARCHITECTURE.md does not mention {package}/{inside}"


def test_every_module_in_the_architecture_exists() -> None:
    names = {file.name for package in ("gateway", "guards", "steering") for file in (ROOT / package).rglob("*.py")}
    for named in re.findall(r"`(?:[\w/]+/)?(\w+\.py)`", ARCHITECTURE):
        assert named in names, f"ARCHITECTURE.md mentions {named}, which does not exist"


def test_commands_of_the_readme_exist() -> None:
    commands = set(re.findall(r"\blethe ([a-z]+)", README))
    out = subprocess.run([sys.executable, "-m", "gateway.cli", "--help"], capture_output=True, text=True, check=True)
    for command in commands:
        assert re.search(rf"\b{command}\b", out.stdout), f"README.md mentions `lethe {command}`"
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", README)) <= targets


def test_files_named_in_the_documents_exist() -> None:
    for text in (README, ARCHITECTURE):
        for path in re.findall(r"\]\(([\w./-]+)\)", text):
            assert (ROOT / path).exists(), path
