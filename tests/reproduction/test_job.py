"""A suite from its plan to its page: every table, a crash in between, and what a second command still does.

The jobs are fakes that write at once what the commands would; the slow test runs real ones.
"""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest

from tests import warm
from tests.conftest import write_images
from tests.reproduction.fake_start import IMAGES, FakeStart
from vgg_keras import stop
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.evaluation import posteriors
from vgg_keras.reproduction import hours, plan, results, runner, suites, wording
from vgg_keras.reproduction.hours import Pace
from vgg_keras.reproduction.job import reproduce
from vgg_keras.reproduction.options import Options, suite_of
from vgg_keras.reproduction.suite import Cell, Claim, DataSet, Part, Suite, Training

CRASHES = "digits/B-5x5-small/1/train"


@pytest.fixture
def quick(monkeypatch):
    """No job is timed and none is waited for."""
    monkeypatch.setattr(runner, "POLL_SECONDS", 0)
    monkeypatch.setattr(hours, "_in_a_process", lambda config: Pace(240, IMAGES, 10, 1e-12, False))


def options_of(folder, suite="smoke", **flags):
    found = {"data": (), "weights": (), "only": (), "jobs": 2, "dry_run": False, "out": str(folder), "settings": ()}
    return Options(suite=suite, **found | flags)


def wrong(probabilities, labels):
    return probabilities.argmax(1) != labels


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
    assert "| 2 cores of a test, /device:CPU:0 | c0ffee | 10 |" in text and wording.mixed(found) == ""
    assert {claim["difference"]["most"] for claim in found["claims"]} <= {"seeds", "images", "rest"}
    found["trainings"][0]["git_commit"] = "another"
    assert wording.mixed(found) == "The runs are of 2 commits: differences between nets may be theirs."

    # ---- a run of another design is refused before anything
    (out / "runs/digits/B-small/seed-0/config.json").write_text(json.dumps(run))
    with pytest.raises(
        UserError, match=r"goes on in the folder that it was begun in\. Received: .*B-small/seed-0, begun with"
    ):
        reproduce(suite, options, FakeStart())


def test_a_net_that_is_not_trained_out_decides_nothing_of_depth(quick, tmp_path):
    smoke = suite_of(options_of(tmp_path)).only(("table3",))
    names = ("digits table3 D small", "digits table3 B small")
    claims = tuple(Claim("4.1", f"of depth: {deep}", *names, "lower", of_depth=deep) for deep in (True, False))
    suite = dataclasses.replace(smoke, claims=claims, trained_out=0.15)
    for loss, expected in ((0.2, "not decided: D not trained out"), (0.1, None)):
        out = tmp_path / str(loss)
        assert reproduce(suite, options_of(out), FakeStart(loss=loss)) == 0
        deep, other = (claim["verdict"] for claim in json.loads((out / "results.json").read_text())["claims"])
        assert deep == (expected or other) and "trained out" not in other


def test_given_nets_are_not_mixed_with_others(quick, tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.h5", "b.h5"):
        (tmp_path / name).write_bytes(name.encode())

    def run(*weights):
        options = options_of(
            tmp_path / "out", "imagenet", data=(str(tmp_path / "images"),), weights=weights, only=("table4",)
        )
        start = FakeStart()
        assert reproduce(suite_of(options), options, start) == 0
        return start.names

    assert run(f"D={tmp_path / 'a.h5'}") == ["imagenet_D-jitter_0_dense"]
    assert run(f"D={tmp_path / 'a.h5'}") == []
    page = (tmp_path / "out/report.md").read_text()
    assert "0 of 3 cells of given nets are within 0.1 points of the paper's; not: imagenet table3 D" in page
    with pytest.raises(UserError, match=r"given/D, begun with the net .*a\.h5 with .*, now .*b\.h5 with"):
        run(f"D={tmp_path / 'b.h5'}")
    # the same net under another name is the same net, but posteriors of another one are none of its
    file = tmp_path / "out/runs/given/D/evaluation/dense_Q256.npz"
    found = posteriors.load(file)
    posteriors.save(dataclasses.replace(found, nets=(dataclasses.replace(found.nets[0], weights_sha256="0"),)), file)
    assert run(f"D={tmp_path / 'a.h5'}") == ["imagenet_D-jitter_0_dense"]
    # without weights the nets are trained: the given net's posteriors are not theirs
    suite = suites.of("imagenet", {}).on({"imagenet": str(tmp_path / "images")})
    (of_d,) = [one for one in plan.runs_of(suite, tmp_path / "out") if one.training.name == "imagenet/D-jitter"]
    assert not of_d.trained and not of_d.finished("dense", 256)


def test_given_nets_are_within_a_tenth_of_the_papers_errors():
    cell = suites.of("imagenet", {}).cell("imagenet table4 D jitter")  # 24.8 / 7.5

    def within(top1, top5):
        return results._within(cell, [results.Tested(np.zeros(1, bool), top1, top5, "")])

    assert [within(24.9, 7.4), within(24.91, 7.5), within(24.8, 7.39), within(24.8, None)] == [
        True,
        False,
        False,
        False,
    ]
    assert results._within(cell, []) is None


def test_other_images_and_other_starts_are_refused(quick, tmp_path):
    out = tmp_path / "out"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()

    def run(images):
        options = options_of(out, data=(str(tmp_path / images),), only=("table3",))
        return reproduce(suite_of(options), options, FakeStart())

    assert run("one") == 0
    found = json.loads((out / "results.json").read_text())
    assert {cell["table"] for cell in found["cells"]} == {"3", "4", "4.1", "5", "6"}  # the page is of all
    (images,) = found["sets"].values()
    assert (images["source"], images["train"]["images"]) == (str(tmp_path / "one"), 240)
    with pytest.raises(UserError, match=r"begun with data\.source: .*/one, now .*/two\. Name another --out"):
        run("two")

    def changed(training, change):
        path = out / f"runs/digits/{training}/seed-0/config.json"
        before = path.read_text()
        content = json.loads(before)
        change(content)
        path.write_text(json.dumps(content))
        with pytest.raises(UserError) as found:
            run("one")
        path.write_text(before)
        return str(found.value)

    message = changed("D-small", lambda content: content["data"]["val"].update(sha256_of_names="0"))
    assert "B-small/seed-0 and" in message and "D-small/seed-0, whose val images differ: 60 and 60" in message
    message = changed("D-jitter", lambda content: content["config"]["training"].update(init_from="runs/other/A/seed-0"))
    assert f"started from runs/other/A/seed-0, now {out}/runs/digits/D-small/seed-0" in message
    message = changed("D-jitter", lambda content: content.update(started_from="0"))
    assert "started from an older net in" in message
    assert run("one") == 0


def test_a_test_gets_the_settings_that_it_takes(tmp_path):
    options = options_of(tmp_path)
    suite, settings = suite_of(options), ("checkpoint.every_minutes=5", "runtime.cache_dir=here")
    jobs = plan.jobs_of(suite, plan.runs_of(suite, tmp_path), settings)
    for job in jobs:
        assert "--set=runtime.cache_dir=here" in job.arguments
        assert ("--set=checkpoint.every_minutes=5" in job.arguments) == (job.test is None), job.name


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
            ("architecture.name=A", "architecture.width=0.05", "training.epochs=1", "evaluation.grid=2", *settings),
            (0,),
            start,
        )
        for kind, settings, start in (("small", (), ""), ("jitter", ("data.scale=32,48",), "noise/A-small"))
    ),
    cells=(Cell("5", "noise", "both", (Part("noise/A-jitter", "both", (32, 48)),)),),
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
    for split, count in (("train", 16), ("val", 8)):
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
    monkeypatch.setattr(hours, "_in_a_process", lambda config: Pace(64, 32, 4, 1e-12, False))
    second = Starts()
    assert reproduce(suite, options, second) == 0, capsys.readouterr().out
    assert second.names == ["noise_A-small_0_train", "noise_A-jitter_0_train", "noise_A-jitter_0_both"]

    tests = out / "runs/noise/A-jitter/seed-0/evaluation"
    files = [np.load(tests / f"{protocol}_Q{side}.npz") for protocol in ("dense", "multi_crop") for side in (32, 48)]
    means = np.mean([file["probabilities"].astype(float) for file in files], axis=0)
    by_hand = 100 * np.mean(wrong(means, files[0]["labels"]))
    (cell,) = json.loads((out / "results.json").read_text())["cells"]
    assert (cell["top1_errors"]["0"], cell["images"]) == (pytest.approx(by_hand, abs=1e-3), 32)


@pytest.mark.full
def test_the_whole_smoke_suite_runs(tmp_path):
    """14 real jobs: 39 minutes on two busy cores, so it is run by hand: `pytest -m full tests/reproduction`."""
    options = options_of(tmp_path / "out", settings=(f"runtime.cache_dir={tmp_path / 'cache'}",))

    def start(command, log):
        return warm.Warm(warm.run_command, list(command), folder=log.parent, log=log)

    assert reproduce(suite_of(options), options, start) == 0
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert all(list(cell["top1_errors"]) == ["0", "1"] for cell in found["cells"])
