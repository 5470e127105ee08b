"""The smoke suite from its plan to its page: every table, a crash in between, and what a second command still does."""

import json

import numpy as np
import pytest

from tests import warm
from vgg_keras.errors import UserError
from vgg_keras.reproduction.job import reproduce
from vgg_keras.reproduction.options import Options, suite_of

CRASHES = "digits/B-5x5-small/1/train"


class Starts:
    """Starts jobs in forked processes and keeps their names; one of them crashes."""

    def __init__(self, crashes=""):
        self.names, self._crashes = [], crashes

    def __call__(self, command, log):
        self.names.append(log.stem)
        if log.stem == self._crashes.replace("/", "_"):
            command = [command[0], "-m", "vgg_keras.train", "--config=none"]
        return warm.Warm(warm.run_command, list(command), folder=log.parent, log=log)


@pytest.mark.slow
def test_smoke_suite_fills_every_table_and_resumes_after_a_crash(tmp_path, capsys):
    """A minute on two free cores. The training that crashes takes its own cell with it and nothing else."""
    cache = f"runtime.cache_dir={tmp_path / 'cache'}"
    options = Options("smoke", (), (), (), jobs=2, dry_run=False, out=str(tmp_path / "out"), settings=(cache,))
    suite, out = suite_of(options), tmp_path / "out"

    first = Starts(CRASHES)
    assert reproduce(suite, options, first) == 2
    found = json.loads((out / "results.json").read_text())
    cells = {cell["name"]: cell for cell in found["cells"]}
    assert {name for name, cell in cells.items() if list(cell["top1_errors"]) != ["0", "1"]} == {
        "digits table4.1 B-5x5 small"
    }
    assert len(first.names) == len(set(first.names)) == 14
    assert "fail  digits/B-5x5-small/1/train, status 2: error: --config takes a name" in capsys.readouterr().out

    # ---- the same command trains what is missing, and then nothing
    second, third = Starts(), Starts()
    assert reproduce(suite, options, second) == 0
    assert second.names == [CRASHES.replace("/", "_")]
    assert reproduce(suite, options, third) == 0
    assert third.names == []

    # ---- a cell by hand: the mean over three Q and two protocols, then over two nets
    found = json.loads((out / "results.json").read_text())
    cells = {cell["name"]: cell for cell in found["cells"]}
    claims = {claim["text"]: claim for claim in found["claims"]}

    def rows(net, protocol, seed):
        folder = out / f"runs/digits/{net}-jitter/seed-{seed}/evaluation"
        files = [np.load(folder / f"{protocol}_Q{side}.npz") for side in (32, 48, 64)]
        return np.mean([file["probabilities"].astype(float) for file in files], axis=0), files[0]["labels"]

    def wrong(probabilities, labels):
        return probabilities.argmax(1) != labels

    for seed in (0, 1):
        (d, labels), (crops, _), (e, _) = (
            rows("D", "dense", seed),
            rows("D", "multi_crop", seed),
            rows("E", "dense", seed),
        )
        for name, probabilities in (
            ("digits table5 D jitter dense", d),
            ("digits table5 D jitter both", (d + crops) / 2),
            ("digits table6 D+E jitter dense", (d + e) / 2),
        ):
            by_hand = 100 * np.mean(wrong(probabilities, labels))
            assert cells[name]["top1_errors"][str(seed)] == pytest.approx(by_hand, abs=0.02), name
        by_hand = 100 * (np.mean(wrong((d + crops) / 2, labels)) - np.mean(wrong(d, labels)))
        both = claims["the two complement each other: both - dense, D"]["difference"]
        assert both["of_seeds"][str(seed)] == pytest.approx(by_hand, abs=0.02)
    assert both["images"] == 359

    # ---- the page
    html, text = (out / "report.html").read_text(), (out / "report.md").read_text()
    for title in ("Table 3", "Table 4", "Table 5", "Table 6", "Section 4.1"):
        assert title in html and title in text
    assert html.count("data:image/png") == len(list((out / "charts").iterdir())) == 3
    assert "vgg_keras.train --config=section4_digits" in html
    run = json.loads((out / "runs/digits/D-jitter/seed-1/config.json").read_text())
    assert run["config"]["training"]["init_from"] == str(out / "runs/digits/D-small/seed-1")

    # ---- a run of another design is refused before anything
    (out / "runs/digits/B-small/seed-0/config.json").write_text(json.dumps(run))
    with pytest.raises(
        UserError, match=r"goes on in the folder that it was begun in\. Received: .*B-small/seed-0, begun with"
    ):
        reproduce(suite, options, Starts())
