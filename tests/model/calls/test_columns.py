from model.calls.columns import COLUMNS, DEFAULT_LABELS, DISPOSITIONS, GENUINE


def test_every_disposition_that_gives_a_label_is_one_of_the_contract():
    assert set(DEFAULT_LABELS) < set(DISPOSITIONS)
    assert set(DISPOSITIONS) - set(DEFAULT_LABELS) == {"test", "abandoned", "unanswered"}
    assert {word for word, label in DEFAULT_LABELS.items() if label == 0} == set(GENUINE)


def test_only_the_call_and_its_arrival_are_required():
    assert [column.name for column in COLUMNS if column.required] == ["call_id", "received_at"]
