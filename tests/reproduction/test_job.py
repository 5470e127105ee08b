"""A suite from its plan to its page: every table, a crash in between, and what a second command still does.

The jobs are fakes that write at once what the commands would; the slow test runs real ones.
"""

import json
import os
import signal

import numpy as np
import pytest

from tests import warm
from tests.conftest import write_images
from tests.reproduction.fake_start import IMAGES, FakeStart, options_of, wrong
from vgg_keras import stop
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.reproduction import hours, wording
from vgg_keras.reproduction.hours import Pace
from vgg_keras.reproduction.job import reproduce
from vgg_keras.reproduction.options import suite_of
from vgg_keras.reproduction.suite import Cell, DataSet, Part, Suite, Training

CRASHES = "digits/B-5x5-small/1/train"


@pytest.mark.slow
def test_smoke_suite_fills_every_table_and_resumes_after_a_crash(quick, tmp_path, capsys):
    """The training that crashes takes its own cell with it and nothing else."""
    out = tmp_path / "out"
    options = options_of(out, settings=(f"runtime.cache_dir={tmp_path / 'cache'}",))
    suite = suite_of(options)

    first = FakeStart(CRASHES)
    assert reproduce(suite, options, first) == 2
    found = json.loads((out / "results.json").read_text())
    cells = {cell["name"]: cell for cell in found["cells"]}
    assert {name for name, cell in cells.items() if list(cell["top1_errors"]) != ["0", "1"]} == {
        "digits table4.1 B-5x5 small"
    }
    (claim,) = [claim for claim in found["claims"] if "B-5x5" in claim["text"]]
    assert claim["verdict"] == "not decided: 1 of 2 seeds"
    assert found["failed"] == {CRASHES: "status 2: error: a crash on purpose"}
    for page in ("report.html", "report.md"):
        assert "a crash on purpose" in (out / page).read_text()
    assert len(first.names) == len(set(first.names)) == 14
    assert "fail  digits/B-5x5-small/1/train, status 2: error: a crash on purpose" in capsys.readouterr().out

    # ---- the same command trains what is missing, and then nothing
    second, third = FakeStart(), FakeStart()
    assert reproduce(suite, options, second) == 0
    assert second.names == [CRASHES.replace("/", "_")]
    assert reproduce(suite, options, third) == 0
    assert third.names == []

    # ---- a cell by hand: the mean over three Q and two protocols, then over two nets
    found = json.loads((out / "results.json").read_text())
    cells = {cell["name"]: cell for cell in found["cells"]}
    claims = {claim["text"]: claim for claim in found["claims"]}

    def rows(net, protocol, seed):
        folder = out / f"runs/digits/{net}-jitter/seed-{seed}"
        files = [
            np.load(
                next(path for path in folder.glob(f"*/{protocol}_Q{side}.npz"))  # of the final evaluation or a test
            )
            for side in (32, 48, 64)
        ]
        return np.mean([file["probabilities"].astype(float) for file in files], axis=0), files[0]["labels"]

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
            assert cells[name]["top1_errors"][str(seed)] == pytest.approx(by_hand, abs=1e-3), name
        by_hand = 100 * (np.mean(wrong((d + crops) / 2, labels)) - np.mean(wrong(d, labels)))
        both = claims["the two complement each other: both - dense, D"]["difference"]
        assert both["of_seeds"][str(seed)] == pytest.approx(by_hand, abs=1e-3)
    assert both["images"] == IMAGES

    # ---- the page
    html, text = (out / "report.html").read_text(), (out / "report.md").read_text()
    for title in ("Table 3", "Table 4", "Table 5", "Table 6", "Section 4.1"):
        assert title in html and title in text
    assert html.count("data:image/png") == len(list((out / "charts").iterdir())) == 3
    assert "vgg_keras.train --config=section4_digits" in html
    run = json.loads((out / "runs/digits/D-jitter/seed-1/config.json").read_text())
    assert run["config"]["training"]["init_from"] == str(out / "runs/digits/D-small/seed-1")

    # ---- machines, commits, and what most of the variance comes from
    assert "| digits | 2 cores of a test, CPU:0 | c0ffee | 10 |" in text and wording.mixed(found) == ""
    assert {claim["difference"]["most"] for claim in found["claims"]} <= {"seeds", "images", "rest"}
    found["trainings"][0]["git_commit"] = "another"
    assert wording.mixed(found) == "The runs of digits are of 2 commits: differences between nets may be theirs."

    # ---- a run of another design is refused before anything
    (out / "runs/digits/B-small/seed-0/config.json").write_text(json.dumps(run))
    with pytest.raises(
        UserError, match=r"goes on in the folder that it was begun in\. Received: .*B-small/seed-0, begun with"
    ):
        reproduce(suite, options, FakeStart())


SMALL = (
    "architecture.name=A",
    "architecture.width=0.05",
    "architecture.batch_norm=false",
    "training.epochs=1",
    "evaluation.grid=2",
)
TINY = Suite(
    name="tiny",
    title="A net A and one with jitter that starts from it",
    about=(),
    sets=(DataSet("noise", "", "drawn noise"),),
    trainings=tuple(
        Training(
            f"noise/A-{kind}",
            "noise",
            "section4_digits",
            (*SMALL, *settings),
            (0,),
            start,
        )
        for kind, settings, start in (("small", (), ""), ("jitter", ("data.scale=32,48",), "noise/A-small"))
    ),
    cells=(Cell("5", "noise", "both", (Part("noise/A-jitter", "both", (48,)),)),),
    claims=(),
)


class Starts:
    """Starts real commands in forked processes. The first one's folder is followed by SIGTERM to this process."""

    def __init__(self, stops_at=None):
        self.names, self.processes, self._stops_at = [], [], stops_at

    def __call__(self, command, log):
        self.names.append(log.stem)
        self.processes.append(warm.Warm(warm.run_command, list(command), folder=log.parent, log=log))
        return self

    pid = 1

    def poll(self):
        if self._stops_at and self._stops_at.exists():
            self._stops_at = None
            os.kill(os.getpid(), signal.SIGTERM)
        return self.processes[-1].poll()

    def send_signal(self, number):
        self.processes[-1].send_signal(number)


@pytest.mark.slow
def test_real_commands_stop_at_sigterm_and_go_on(monkeypatch, tmp_path, capsys):
    for split, count in (("train", 8), ("val", 2)):
        for place, name in enumerate("abcd"):
            write_images(tmp_path / "images" / split / name, [(40, 48)] * count, seed=place + 10 * count)
    suite, out = TINY.on({"noise": str(tmp_path / "images")}), tmp_path / "out"
    options = options_of(out, jobs=1, settings=(f"runtime.cache_dir={tmp_path / 'cache'}",))
    monkeypatch.setattr(hours, "_in_a_process", hours.measure)  # a spawned process would import TensorFlow again
    monkeypatch.setattr(stop, "_requested", False)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stop.listen()
    try:
        first = Starts(stops_at=out / "runs/noise/A-small/seed-0/config.json")
        with pytest.raises(StoppedError, match="the same command resumes"):
            reproduce(suite, options, first)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert first.names == ["noise_A-small_0_train"] and first.processes[0].poll() == 75
    assert "fail" not in capsys.readouterr().out

    monkeypatch.setattr(stop, "_requested", False)
    monkeypatch.setattr(hours, "_in_a_process", lambda *_: Pace(32, 8, 8, 4, 1e-12, False))
    second = Starts()
    assert reproduce(suite, options, second) == 0, capsys.readouterr().out
    assert second.names == ["noise_A-small_0_train", "noise_A-jitter_0_train", "noise_A-jitter_0_both"]

    tests = out / "runs/noise/A-jitter/seed-0/evaluation"
    files = [np.load(tests / f"{protocol}_Q48.npz") for protocol in ("dense", "multi_crop")]
    means = np.mean([file["probabilities"].astype(float) for file in files], axis=0)
    by_hand = 100 * np.mean(wrong(means, files[0]["labels"]))
    (cell,) = json.loads((out / "results.json").read_text())["cells"]
    assert (cell["top1_errors"]["0"], cell["images"]) == (pytest.approx(by_hand, abs=1e-3), 8)


@pytest.mark.full
def test_the_whole_smoke_suite_runs(tmp_path):
    """14 real jobs: 39 minutes on two busy cores, so it is run by hand: `pytest -m full tests/reproduction`."""
    options = options_of(tmp_path / "out", settings=(f"runtime.cache_dir={tmp_path / 'cache'}",))

    def start(command, log):
        return warm.Warm(warm.run_command, list(command), folder=log.parent, log=log)

    assert reproduce(suite_of(options), options, start) == 0
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert all(list(cell["top1_errors"]) == ["0", "1"] for cell in found["cells"])
