"""The page of a suite: before any run, and with names that are no HTML."""

import json
from pathlib import Path

from vgg_keras.reproduction import page, plan, suites, wording


def test_the_page_of_a_suite_that_has_not_begun(tmp_path):
    suite = suites.of("smoke", {})
    found = page.write(suite, plan.runs_of(suite, tmp_path), tmp_path)
    text, html = ((tmp_path / f"report.{kind}").read_text() for kind in ("md", "html"))
    assert f"{len(suite.claims)} not measured yet" in text and "Failed" not in text and "data:image" not in html
    for title in ("Table 3", "Table 4", "Table 5", "Table 6", "Section 4.1"):
        assert title in text and title in html
    assert "## Machines" not in text and "## Commands" not in text and "Machines and commits" not in html
    assert not (tmp_path / "charts").exists() or not list((tmp_path / "charts").iterdir())
    assert page.summary(found).splitlines()[0] == f"claims not measured yet: {len(suite.claims)}"
    assert all(paragraph in text for paragraph in wording.reading(found))  # such as what "mostly by" is


def test_the_terminal_counts_the_claims_that_are_not_measured_as_the_page_does():
    """A difference of which the paper expects nothing, such as C's two S, is no claim that waits for a verdict."""
    found = json.loads((Path(__file__).parents[2] / "docs/results/small.json").read_text())
    found["claims"] = [
        one | {"difference": None, "verdict": one["verdict"] and "not measured yet"} for one in found["claims"]
    ]
    missing = wording.verdicts(found)["not measured yet"]
    assert missing < sum(one["section"] != "" for one in found["claims"])
    assert f"claims not measured yet: {missing}\n" in page.summary(found)


def test_a_failed_job_and_a_set_are_text(tmp_path):
    suite = suites.of("smoke", {}).on({"digits": "a|<b>&c"})
    page.write(suite, plan.runs_of(suite, tmp_path), tmp_path, {"digits/B-small/0/train": "status 2: <script>"})
    text, html = ((tmp_path / f"report.{kind}").read_text() for kind in ("md", "html"))
    assert "- digits/B-small/0/train: status 2: <script>" in text and "a\\|<b>&c" in text
    assert "<script>" not in html and "&lt;script&gt;" in html and "a|&lt;b&gt;&amp;c" in html
