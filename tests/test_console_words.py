"""The console's words: each in both languages, with the same values, and none that no page says."""

import re
from pathlib import Path

import pytest

from service.console.words import CATALOGUES

CONSOLE = Path(__file__).parents[1] / "service" / "console"
SOURCES = {
    path: path.read_text(encoding="utf-8")
    for folder, ending in ((CONSOLE, "*.py"), (CONSOLE / "templates", "*.html"), (CONSOLE / "static", "*.js"))
    for path in folder.glob(ending)
    if not path.name.startswith("words")
}


def test_each_catalogue_has_every_word():
    english, indonesian = CATALOGUES["en"], CATALOGUES["id"]
    assert list(english) == list(indonesian)
    assert all(text.strip() for texts in CATALOGUES.values() for text in texts.values())


@pytest.mark.parametrize("name", CATALOGUES["en"])
def test_a_word_has_the_same_values_in_each_language(name):
    values = [sorted(re.findall(r"{(\w+)}", texts[name])) for texts in CATALOGUES.values()]
    assert values[0] == values[1]


def test_every_word_that_a_page_says_is_there():
    sections = {name.split(".")[0] for name in CATALOGUES["en"]}
    said = {
        (path.name, name)
        for path, text in SOURCES.items()
        for name in re.findall(r"""["'`](\w+\.[\w.]*)(?=["'`]|\$\{|\{)""", text)
        if name.split(".")[0] in sections and not name.endswith((".html", ".js", ".css"))
    }
    assert len(said) > 100
    beginnings = tuple(CATALOGUES["en"])
    for page, name in said:
        there = any(one.startswith(name) for one in beginnings) if name.endswith(".") else name in CATALOGUES["en"]
        assert there, (page, name)


def test_no_word_is_left_that_nothing_says():
    everything = "\n".join(SOURCES.values())
    beginnings = set(re.findall(r"""["'`]([\w.]+\.)(?:["'`]\s*[~+]|\$\{|{)""", everything))
    left = [name for name in CATALOGUES["en"]
            if name not in everything and not any(name.startswith(beginning) for beginning in beginnings)]  # fmt: skip
    assert left == []


def test_nobody_is_judged():
    for language, texts in CATALOGUES.items():
        for name, text in texts.items():
            assert not re.search(r"prankster|fraud|spam|blacklist|offender|penipu|pelaku|pembohong", text, re.I), (
                language,
                name,
            )
