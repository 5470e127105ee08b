"""The page of a suite: before any run, and with names that are no HTML."""

from vgg_keras.reproduction import page, plan, suites


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


def test_a_failed_job_and_a_set_are_text(tmp_path):
    suite = suites.of("smoke", {}).on({"digits": "a|<b>&c"})
    page.write(suite, plan.runs_of(suite, tmp_path), tmp_path, {"digits/B-small/0/train": "status 2: <script>"})
    text, html = ((tmp_path / f"report.{kind}").read_text() for kind in ("md", "html"))
    assert "- digits/B-small/0/train: status 2: <script>" in text and "a\\|<b>&c" in text
    assert "<script>" not in html and "&lt;script&gt;" in html and "a|&lt;b&gt;&amp;c" in html
