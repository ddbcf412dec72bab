"""The lines of docs/telephony-sip.md that ask with curl run as they are."""

import json
import re
import subprocess

from tests.support.processes import CHECKOUT


def test_the_lines_that_ask_with_curl_run_as_they_are(service):
    page = (CHECKOUT / "docs" / "telephony-sip.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    (curl .* \\\n        .*)$", page, re.MULTILINE)
    answers = []
    for line in lines:
        own = re.sub(r"--max-time \S+", "--max-time 30", line.replace(":8112", f":{service.port}"))
        environment = {"SARING_KEY": service.keys["intake"], "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["bash", "-c", own], capture_output=True, check=True, env=environment)
        answers.append(json.loads(done.stdout))
    assert [(answer["call_id"], answer["warnings"]) for answer in answers] == [("pbx-1", [])] * 4
    assert answers[0]["band"] in ("normal", "unsure", "likely_prank")
    assert answers[0]["queue_key_epoch"] > 0.0
    known = service.known("pbx-1")
    assert (known["disposition"], known["duration_s"], known["ended_by"]) == ("genuine", 31.0, "caller")
