"""The rules of the house: style, import direction, file sizes, pins, and documents that hold."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dynamask", "analysis", "app")
MAX_LINES = 420
TEXT = {".py", ".md", ".txt", ".toml", ".lock", ".cff", ".js", ".css", ".json", ".csv", ".yml"}
NAMED_TEXT = {"Makefile", "Dockerfile", "run", ".gitignore", ".dockerignore", "LICENSE"}
NEVER_COMMITTED = {".venv", "venv", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis"}
HEAD_BYTES = 1 << 17  # of binary files: a safetensors header or a JPEG's metadata

FORBIDDEN = {  # importer -> roots it may never import, at any depth of its code
    "dynamask": {"analysis", "app", "gradio", "tests"},
    "analysis": {"app", "gradio", "tests"},
    "app": {"torch", "torchvision", "timm", "tests"},
}


def listed_files() -> list[Path]:
    """What is or would be committed, from the root; a source archive without git is walked."""
    if shutil.which("git"):
        done = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return [Path(name) for name in done.stdout.decode().split("\0") if name]
    paths = [p.relative_to(ROOT) for p in ROOT.rglob("*") if p.is_file()]
    return [p for p in paths if not (NEVER_COMMITTED | {".git", "runs"}) & set(p.parts)]


def repository_files() -> list[Path]:
    """Files of the project's own, as absolute paths."""
    own = [ROOT / p for p in listed_files() if not NEVER_COMMITTED & set(p.parts)]
    return [p for p in own if p.is_file()]


def sources(package: str) -> list[Path]:
    return sorted(p for p in (ROOT / package).rglob("*.py") if "__pycache__" not in p.parts)


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(first part of the module's name, line) of every import below a node."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0], node.lineno


def outside_functions(tree: ast.Module) -> ast.Module:
    """The module without the bodies of its functions: what runs at import."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    return Strip().visit(tree)


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_import_detector_sees_nested_imports() -> None:
    tree = ast.parse("def f():\n    import gradio.themes\nfrom torch import nn\n")
    assert {name for name, _ in imports(tree)} == {"gradio", "torch"}
    assert {name for name, _ in imports(outside_functions(tree))} == {"torch"}


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(package)
        for name, line in imports(ast.parse(path.read_text(encoding="utf-8")))
        if name in FORBIDDEN[package]
    ]
    assert not wrong


def test_analysis_imports_torch_only_inside_functions() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources("analysis")
        for name, line in imports(outside_functions(ast.parse(path.read_text(encoding="utf-8"))))
        if name in {"torch", "torchvision", "timm"}
    ]
    assert not wrong


def test_files_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for package in (*PACKAGES, "tests")
        for path in sources(package)
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert not long, f"more than {MAX_LINES} lines; two rooms are wanted"


def pins(name: str) -> dict[str, str]:
    """Requirement lines of a file as {package: specifier}."""
    found = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        match = re.match(
            r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?\s*([<>=~!][^#\s]*)", line.split("#")[0].strip()
        )
        if match:
            found[match[1].lower().replace("_", "-")] = match[2]
    return found


def test_torch_and_torchvision_are_a_tested_pair() -> None:
    pair = {"torch": "==2.12.1", "torchvision": "==0.27.1"}
    for name in ("requirements.txt", "requirements.lock"):
        assert {k: pins(name)[k] for k in pair} == pair, name


def test_requirements_are_bounded_and_locked() -> None:
    wanted = {**pins("requirements.txt"), **pins("requirements-dev.txt")}
    assert len(wanted) > 12
    loose = [k for k, v in wanted.items() if not v.startswith("==") and ",<" not in v]
    assert not loose, "no upper bound"
    locked = pins("requirements.lock")
    assert not [k for k in wanted if k not in locked], "run `make lock`"
    assert all(v.startswith("==") for v in locked.values())


def test_installed_versions_meet_the_ranges() -> None:
    from importlib.metadata import version

    from packaging.specifiers import SpecifierSet

    wanted = {**pins("requirements.txt"), **pins("requirements-dev.txt")}
    off = {k: version(k) for k, v in wanted.items() if version(k) not in SpecifierSet(v)}
    assert not off


def test_every_package_that_is_imported_is_required() -> None:
    distribution = {
        "PIL": "pillow",
        "cv2": "opencv-python-headless",
        "skimage": "scikit-image",
    }
    known = set(pins("requirements.txt"))
    own = {*PACKAGES, *sys.stdlib_module_names}
    # weights wheels serve training only and say so where they are missing; Ray and friends are
    # optional in the same way
    optional = set(pins("requirements-dev.txt")) | {"ray", "uvicorn", "fastapi", "starlette"}
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for package in PACKAGES
        for path in sources(package)
        for name, _ in imports(ast.parse(path.read_text(encoding="utf-8")))
        if name not in own
        and distribution.get(name, name) not in known
        and name.replace("_", "-") not in optional
    }
    assert not missing


def test_nothing_of_this_machine_is_in_the_repository() -> None:
    patterns = {
        "a path of one machine": rb"(?<![\w./-])/(?:work|root)/[\w.]",
        "a package index": rb"--(?:extra-)?index-url|--trusted-host",
        "a private key": rb"BEGIN [A-Z ]*PRIVATE" + rb" KEY",
    }
    own = Path(__file__).resolve()
    found = []
    for path in repository_files():
        if path.resolve() == own:
            continue
        data = path.read_bytes()
        if path.suffix not in TEXT and path.name not in NAMED_TEXT:
            data = data[:HEAD_BYTES]
        name = path.relative_to(ROOT)
        found += [f"{name}: {what}" for what, regex in patterns.items() if re.search(regex, data)]
    assert not found


def test_no_environment_or_cache_is_committed() -> None:
    found = [str(p) for p in listed_files() if NEVER_COMMITTED & set(p.parts)]
    assert not found, f"{len(found)} files that belong to one machine, first {found[0]}"


def test_committed_files_are_small() -> None:
    large = {
        str(path.relative_to(ROOT)): path.stat().st_size
        for path in repository_files()
        if path.stat().st_size > 500_000
        and "weights" not in path.parts
        and "runs" not in path.parts
    }
    assert not large


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def test_links_in_documents_lead_somewhere() -> None:
    dead = []
    for path in documents():
        links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
        local = [link for link in links if not re.match(r"[a-z]+:", link)]
        dead += [f"{path.name}: {link}" for link in local if not (path.parent / link).exists()]
    assert not dead


def test_documents_are_finished() -> None:
    holes = re.compile(r"@@\w*@@|<!-- *lead|TODO|FIXME|\bTBD\b")
    found = [
        f"{path.name}: {hole}"
        for path in documents()
        for hole in holes.findall(path.read_text(encoding="utf-8"))
    ]
    assert not found


def document_commands() -> list[tuple[str, list[str]]]:
    """(document, words) of each `python -m …` and `make …` in README.md and docs."""
    found = []
    for path in documents():
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        inline = re.findall(r"`((?:\S*python3? -m|make) [^`\n]+)`", text)
        blocks = re.findall(r"^\s*\$?\s*((?:\S*python3? -m|make) .+)$", text, re.MULTILINE)
        for line in [*inline, *blocks]:
            line = line.replace("…", "").split("|")[0].rstrip("`. ")
            words = shlex.split(line, comments=True)
            if words[0] == "make" or words[2] in PACKAGES:
                found.append((path.name, words))
    return found


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    return {}


def test_readme_exists_with_its_two_commands() -> None:
    commands = [words[:2] for name, words in document_commands() if name == "README.md"]
    assert ["make", "app"] in commands
    assert ["make", "test"] in commands


def test_commands_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wrong = []
    for name, words in document_commands():
        if words[0] == "make":
            named = [w for w in words[1:] if "=" not in w and not w.startswith("-")]
            wrong += [f"{name}: make {w}" for w in named if w not in targets]
        elif importlib.util.find_spec(f"{words[2]}.__main__") is None:
            wrong.append(f"{name}: python -m {words[2]}")
        elif words[2] == "dynamask":
            wrong += [f"{name}: {problem}" for problem in unknown_parts(words[3:])]
    assert not wrong


def unknown_parts(words: list[str]) -> list[str]:
    """What of a ``python -m dynamask`` line its own parser does not know."""
    from dynamask.cli import build_parser

    known = subcommands(build_parser(words))
    if not words or words[0].startswith("-"):
        return []
    if words[0] not in known:
        return [f"command {words[0]}"]
    options = {o for action in known[words[0]]._actions for o in action.option_strings}
    flags = [w.split("=")[0].strip("[]") for w in words[1:] if w.strip("[").startswith("--")]
    return [f"{words[0]} {flag}" for flag in flags if flag not in options]


def test_unknown_options_are_noticed() -> None:
    assert unknown_parts(["predict", "a.jpg", "--out", "d", "--json"]) == []
    assert unknown_parts(["predict", "--never-heard-of"]) == ["predict --never-heard-of"]
    assert unknown_parts(["fly"]) == ["command fly"]


def test_licence_and_citation_agree() -> None:
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence and "Version 2.0" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert "license: Apache-2.0" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_ci_runs_the_suite() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, "not executable"
    assert "make test" in script.read_text(encoding="utf-8")


def test_container_gets_what_the_page_needs() -> None:
    """.dockerignore keeps all but a few folders out; a COPY of a missing one would fail."""
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert {"requirements.txt", "requirements.lock", "dynamask", "app", "assets"} <= allowed
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            copied = [w for w in line.split()[1:-1] if not w.startswith("--")]
            assert all((ROOT / w).exists() for w in copied), line
