import re
from pathlib import Path

import pytest
import yaml

from model.calls.columns import DEFAULT_LABELS
from model.errors import ParamsError
from model.params import PIPELINE, Params, read_params
from model.policy.deferral import DeferralSettings
from model.policy.guardrails import GUARDRAIL_NAMES, GUARDRAILS

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def params_file(tmp_path):
    def write(text):
        path = tmp_path / "params.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused(path):
    with pytest.raises(ParamsError) as caught:
        read_params(path)
    return str(caught.value).removeprefix(f"{path}: ")


def test_params_yaml_says_the_defaults():
    told, default = read_params(PARAMS), Params()
    assert told.caps() == default.caps() == tuple(rail.cap for rail in GUARDRAILS)
    assert told.limits() == default.limits() == tuple(rail.limit for rail in GUARDRAILS)
    assert told.model_dump(exclude={"guardrails"}) == default.model_dump(exclude={"guardrails"})
    assert read_params(None) == default


def test_params_yaml_names_every_setting():
    written, default = yaml.safe_load(PARAMS.read_text(encoding="utf-8")), Params().model_dump()
    assert set(written) == set(default) | set(PIPELINE)
    for name, value in default.items():
        if isinstance(value, dict) and name != "guardrails":
            assert set(written[name]) == set(value)
    assert set(written["guardrails"]) == set(GUARDRAIL_NAMES)


def test_every_wrong_setting_is_named_with_its_value(params_file):
    said = refused(
        params_file(
            """
            time_zone: Asia/Atlantis
            region: ZZ
            seed: -1
            colour: red
            labels: {genuine: 0, duplicate: 0, hoax: 1, prank: 1}
            split: {fit: 0.9, calibrate: 0.2}
            boosting: {max_iter: 0, learning_rate: .nan, l2_regularization: .inf, max_bins: 256, trees: 3}
            guardrails: {surge: {cap: 1.5}, redial: {limit: -1}, silence: {limit: .inf}}
            deferral: {kappa: 0, base_s: -1, max_defer_s: 301}
            certificate: {alpha: 0.5, delta: 0}
            """
        )
    )
    for name, value in {
        "time_zone": "'Asia/Atlantis'",
        "region": "'ZZ'",
        "seed": "-1",
        "colour": "'red'",
        "labels": "hoax is not a disposition",
        "split": "leave nothing to certify on",
        "boosting.max_iter": "0",
        "boosting.learning_rate": "nan",
        "boosting.l2_regularization": "inf",
        "boosting.max_bins": "256",
        "boosting.trees": "3",
        "guardrails.surge.cap": "1.5",
        "guardrails.redial.limit": "-1",
        "guardrails.silence.limit": "inf",
        "deferral.kappa": "0",
        "deferral.base_s": "-1",
        "deferral.max_defer_s": "301",
        "certificate.alpha": "0.5",
        "certificate.delta": "0",
    }.items():
        assert any(part.strip().startswith(f"{name}: ") and value in part for part in said.split(";")), name


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan"])
@pytest.mark.parametrize(
    "setting",
    ["deferral: {kappa: NUMBER}", "deferral: {base_s: NUMBER}", "deferral: {max_defer_s: NUMBER}", "seed: NUMBER",
     "boosting: {learning_rate: NUMBER}", "boosting: {l2_regularization: NUMBER}", "certificate: {alpha: NUMBER}",
     "guardrails: {surge: {limit: NUMBER}}", "guardrails: {surge: {cap: NUMBER}}", "split: {fit: NUMBER}"],
)  # fmt: skip
def test_a_number_that_is_not_finite_is_no_setting(params_file, setting, number):
    refused(params_file(setting.replace("NUMBER", number)))


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("{genuine: 1, duplicate: 0, prank: 1}", "genuine must be 0"),
        ("{duplicate: 0, prank: 1}", "genuine must be 0"),
        ("{genuine: 0, duplicate: 1, prank: 1}", "duplicate must be 0"),
        ("{genuine: 0, duplicate: 0}", "no disposition has the label 1"),
        ("{genuine: 0, duplicate: 0, prank: 2}", "labels.prank: 2"),
    ],
)
def test_labels_that_break_the_promise_are_refused(params_file, labels, told):
    assert told in refused(params_file(f"labels: {labels}"))


def test_a_guardrail_that_is_not_one_is_named(params_file):
    assert "first_cal is not a guardrail" in refused(params_file("guardrails: {first_cal: {enabled: false}}"))


@pytest.mark.parametrize("text", ["- a\n- b", "just words", "{unclosed"])
def test_a_file_that_holds_no_settings_is_one_clear_error(params_file, text):
    path = params_file(text)
    with pytest.raises(ParamsError, match=re.escape(str(path))):
        read_params(path)


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path):
    assert "cannot be read" in refused(tmp_path / "params.yaml")


def test_an_empty_file_gives_the_defaults(params_file):
    assert read_params(params_file("")) == Params()


def test_a_guardrail_that_is_off_has_no_cap_and_others_keep_theirs(params_file):
    params = read_params(params_file("guardrails: {first_call: {enabled: false}, no_number: {cap: 0.25}}"))
    caps = dict(zip(GUARDRAIL_NAMES, params.caps(), strict=True))
    assert caps["first_call"] != caps["first_call"]
    assert caps["no_number"] == 0.25
    assert caps["surge"] == 0.0
    assert params.limits() == tuple(rail.limit for rail in GUARDRAILS)


def test_the_default_labels_are_those_of_the_contract():
    assert Params().labels == dict(DEFAULT_LABELS)


def test_what_is_to_be_fitted_is_absent_or_said_and_a_number_stays(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("guardrails: {first_call: {cap: fitted}, surge: {cap: 0.25}, redial: {enabled: false}}\n")
    said = read_params(path)
    assert said.fitted_caps() == {"first_call", "closed_genuine", "no_number"}
    assert said.caps()[:5] == (0.0, 0.0, 1.0, 0.1, 0.25)
    assert said.deferral_settings() == DeferralSettings()
    path.write_text("deferral: {kappa: 3}\nguardrails: {no_number: {cap: 0}}\n")
    by_hand = read_params(path)
    assert by_hand.deferral.kappa == 3.0
    assert "no_number" not in by_hand.fitted_caps()
    assert Params.model_validate(by_hand.model_dump(mode="json")) == by_hand


@pytest.mark.parametrize("name", ["protected", "silence"])
def test_protected_callers_and_silence_cannot_be_fitted(tmp_path, name):
    path = tmp_path / "params.yaml"
    path.write_text(f"guardrails: {{{name}: {{cap: fitted}}}}\n")
    with pytest.raises(ParamsError, match=f"the cap of {name} cannot be fitted"):
        read_params(path)
