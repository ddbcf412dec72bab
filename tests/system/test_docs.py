"""What the docs promise is there: every command, setting and file; the README's lines and the notebooks run."""

import ast
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import typer

from service.cli.main import app
from service.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = README + "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))


def commands() -> list[str]:
    return sorted(typer.main.get_command(app).commands)


@pytest.mark.parametrize("command", commands())
def test_every_command_stands_in_the_docs(command):
    assert f"saring {command}" in DOCS


@pytest.mark.parametrize("setting", sorted(Settings.model_fields))
def test_every_setting_stands_in_the_docs(setting):
    assert f"SARING_{setting.upper()}" in (ROOT / "docs" / "service.md").read_text(encoding="utf-8")


def test_every_room_stands_in_the_map_and_the_map_names_no_other():
    house = README.split("## The house")[1].split("\n## ")[0]
    there = {f"{path.parent.name}/" for root in ("model", "service") for path in (ROOT / root).glob("*/__init__.py")}
    assert set(re.findall(r"^        (\w+/) ", house, re.MULTILINE)) == there


def test_every_page_stands_in_the_index_of_the_docs():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    there = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert set(re.findall(r"\]\((\S+\.md)\)", index)) == there


def test_every_link_of_the_docs_leads_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_lines_of_the_readme_that_embed_the_client_run_as_they_are(
    serving, tmp_path, release_folder, monkeypatch, capsys
):
    lines = README.split("## Embed it in an intake system")[1].split("\n\n    import os")[1].split("\n\n    Keep")[0]
    code = "import os" + re.sub(r"\n    ", "\n", lines.split("\n\nKeep one client")[0])
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, release_folder, mode="pbx") as client:
        port = client.base_url.port
        exec(compile(code.replace(":8112", f":{port}"), "README.md", "exec"), {})
        assert client.get("/v1/calls/112-0042").json()["disposition"] == "genuine"
    assert capsys.readouterr().out.split()[1] in ("normal", "unsure", "likely_prank")


def test_the_lines_of_the_readme_that_ask_with_curl_run_as_they_are(serving, tmp_path, release_folder):
    lines = re.findall(r"^    (curl .*(?:\n      .*)?)", README, re.MULTILINE)
    with serving(tmp_path, release_folder, mode="pbx") as client:
        port = client.base_url.port
        said = []
        for line in lines:
            done = subprocess.run(["bash", "-c", line.replace(":8112", f":{port}")], capture_output=True, check=True)
            said.append(json.loads(done.stdout))
    assert [(answer["call_id"], answer["warnings"]) for answer in said[:4]] == [("1", [])] * 4
    assert (said[4]["state"], said[4]["disposition"]) == ("closed", "prank")
    assert said[5]["calls"] == []


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_every_file_of_the_code_that_a_page_names_is_there(page):
    """But for the log, which says what was there on its day."""
    named = set(re.findall(r"\b((?:model|service|tests|benchmarks)/[\w/.-]+\.\w+)", page.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if page.name != "log.md" and not (ROOT / name).exists()] == []


BOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ALLOWED = {"model", "numpy", "pandas", "matplotlib", "IPython"}


def code(book: Path) -> list[dict]:
    return [cell for cell in json.loads(book.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def test_there_are_three_notebooks():
    assert [book.name[:2] for book in BOOKS] == ["01", "02", "03"]


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_a_notebook_is_stored_without_outputs_and_defines_nothing(book):
    for cell in code(book):
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= ALLOWED
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] in ALLOWED


@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client")
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the kernel's sockets
@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_a_notebook_runs(book, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(book, as_version=4)
    resources = {"metadata": {"path": str(book.parent)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert {output.output_type for output in shown} & {"execute_result", "display_data"}
