"""The console's words: none missing, and none that no page says; test_language.py compares the languages."""

import re
from pathlib import Path

from service.console.catalogues.catalogue import words

CONSOLE = Path(__file__).parents[3] / "service" / "console"
TEXTS = words("en").under("")
SOURCES = {
    path: path.read_text(encoding="utf-8")
    for folder, ending in ((CONSOLE, "*.py"), (CONSOLE / "templates", "*.html"), (CONSOLE / "static", "*.js"))
    for path in folder.glob(ending)
}


def test_every_word_that_a_page_says_is_there():
    sections = {name.split(".")[0] for name in TEXTS}
    said = {
        (path.name, name)
        for path, text in SOURCES.items()
        for name in re.findall(r"""["'`](\w+\.[\w.]*)(?=["'`]|\$\{|\{)""", text)
        if name.split(".")[0] in sections and not name.endswith((".html", ".js", ".css"))
    }
    assert len(said) > 100
    beginnings = tuple(TEXTS)
    for page, name in said:
        there = any(one.startswith(name) for one in beginnings) if name.endswith(".") else name in TEXTS
        assert there, (page, name)


def test_no_word_is_left_that_nothing_says():
    everything = "\n".join(SOURCES.values())
    beginnings = set(re.findall(r"""["'`]([\w.]+\.)(?:["'`]\s*[~+]|\$\{|{)""", everything))
    left = [name for name in TEXTS
            if name not in everything and not any(name.startswith(beginning) for beginning in beginnings)]  # fmt: skip
    assert left == []
