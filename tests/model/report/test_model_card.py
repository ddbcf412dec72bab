import re


def test_the_card_is_laid_out_for_the_act(made):
    card = made.files()["model_card.md"].decode()
    titles = re.findall(r"^## \d+\. (.+)$", card, re.MULTILINE)
    assert titles == [
        "Purpose", "What it may do", "How it works", "Data", "Human oversight", "Metrics",
        "Accuracy, robustness, security", "Certificate", "Logging and watching", "Risks that remain", "Version",
    ]  # fmt: skip
    for block in re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE):
        assert len({line.count(" | ") for line in block.splitlines()}) == 1
