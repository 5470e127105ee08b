"""What the flags of `reproduce` refuse."""

import shutil

import pytest

from tests.reproduction.fake_start import FakeStart, options_of
from vgg_keras.errors import UserError
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.plain_values import to_dict
from vgg_keras.reproduction import identity, plan
from vgg_keras.reproduction.job import reproduce
from vgg_keras.reproduction.options import suite_of


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"suite": "smal"}, r"--suite takes small, smoke, imagenet\. Received: 'smal'\. Did you mean 'small'\?"),
        ({"only": ("table7",), "suite": "smoke"}, r"--only names tables of the suite\. Received: 'table7'\."),
        (
            {"data": ("tests",)},
            r"several sets: --data=cifar10=SOURCE and --data=photographs=SOURCE\. Received: --data=tests",
        ),
        (  # of which the second would have counted
            {"data": ("cifar10=digits", "photographs=tests", "cifar10=tests")},
            r"--data gives a set once\. Received: cifar10=digits and cifar10=tests",
        ),
        (  # in the other order Keras Applications' D would have counted
            {"suite": "imagenet", "weights": ("D=a.h5", "imagenet")},
            r"--weights gives a net once; .* Received: D=a\.h5 and imagenet, two of D\..* D=imagenet or E=imagenet",
        ),
        (
            {"suite": "smoke", "weights": ("imagenet",)},
            r"--weights belongs to --suite=imagenet\. Received: --suite=smoke",
        ),
        ({"suite": "imagenet", "weights": ("A=a.h5",)}, r"--weights gives nets of Tables 3 to 6.*Received: 'A'"),
        (
            {"suite": "imagenet", "weights": ("a.h5",)},
            r"--weights takes D=FILE, E=FILE or imagenet\. Received: 'a\.h5'",
        ),
        (  # of which each test would fail, and name a --config that nobody gave
            {"suite": "imagenet", "weights": ("D=tests",)},
            r"--weights takes D=FILE, .*Received: D=tests, a folder\. A run is tested by vgg-keras evaluate --model=RUN",
        ),
        (
            {"settings": ("training.epochs=1",)},
            r"suite is fixed: --set takes data\.data_dir, data\.micro_batch, .*, runtime\.cache_dir\. "
            r"Received: training\.epochs\.$",
        ),
        (
            {"suite": "smoke", "settings": ("data.micro_batch=8",)},  # its nets have batch norm
            r"suite is fixed: --set takes data\.data_dir, evaluation\.batch, .* Received: data\.micro_batch\.$",
        ),
        (
            {"suite": "smoke", "settings": ("checkpoint.keep=0",)},
            r"checkpoint\.keep must be 1 or more\. Received: 0",
        ),
        (
            {"settings": ("runtime.precision=float32",)},
            r"suite is fixed: --set takes .* Received: runtime\.precision\.$",
        ),
    ],
)
def test_flags_that_a_suite_does_not_take_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        suite_of(options_of("x", **{"suite": "small"} | flags))


def test_a_set_is_named_where_there_are_several(tmp_path):
    (tmp_path / "a=b").mkdir()
    digits = suite_of(options_of("x", data=(str(tmp_path / "a=b"),)))  # a path may hold an equals sign
    assert [one.source for one in digits.sets] == [str(tmp_path / "a=b")]
    named = suite_of(options_of("x", data=(f"digits={tmp_path / 'a=b'}",)))
    assert named == digits
    several = suite_of(options_of("x", "small", data=(f"photographs={tmp_path}", "cifar10=digits")))
    assert {one.name: one.source for one in several.sets} == {"photographs": str(tmp_path), "cifar10": "digits"}


def test_a_set_that_is_not_there_is_named_before_another_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = options_of("out", "small", data=("cifar10=./none",))
    with pytest.raises(UserError, match=r"'\./none', which is no folder.*--data=cifar10=SOURCE"):
        reproduce(suite_of(options), options)
    options = options_of("out", "small")
    message = "Received: 'flowers17/', which is no folder .* It is photographs of the suite: --data=photographs=SOURCE"
    with pytest.raises(UserError, match=message):
        reproduce(suite_of(options), options)
    assert not list(tmp_path.iterdir())


def test_a_finished_suite_needs_its_images_no_more(quick, tmp_path):
    """The page is written anew, also from a file of another machine, where the images need not be."""
    (tmp_path / "album").mkdir()
    data = (str(tmp_path / "album"),)
    for out, merge in (("out", ()), ("out", ()), ("other", (str(tmp_path / "out/results.json"),))):
        options, start = options_of(tmp_path / out, data=data, merge=merge), FakeStart()
        assert reproduce(suite_of(options), options, start) == 0
        assert bool(start.names) == (tmp_path / "album").exists()
        shutil.rmtree(tmp_path / "album", ignore_errors=True)
    assert (tmp_path / "other/report.html").exists()


def test_where_images_lie_and_what_fits_the_memory_are_of_the_machine(tmp_path):
    """A prepared ImageNet is seldom in the home folder, and the paper's batch is too large for many GPUs."""
    settings = (f"data.data_dir={tmp_path}", "evaluation.batch=8", "data.micro_batch=32")
    suite = suite_of(options_of("x", "imagenet", settings=settings))
    runs = plan.runs_of(suite, tmp_path / "out")
    jobs = {job.name: job for job in plan.jobs_of(suite, runs, settings)}
    ours = [f"--set={one}" for one in settings]
    assert set(ours) <= set(jobs["imagenet/E-small/0/train"].arguments)
    assert set(ours[:2]) <= set(jobs["imagenet/E-jitter/0/multi_crop"].arguments)  # a test has no micro-batches
    assert ours[2] not in jobs["imagenet/E-jitter/0/multi_crop"].arguments

    begun = override(runs[0].config, parse_assignments(settings))
    stored = {"config": to_dict(begun)}
    assert not identity.difference_of_run(stored, runs[0].config, None)
    assert identity.design(begun, "") == identity.design(runs[0].config, "")


def test_given_nets_replace_the_trainings(tmp_path):
    def given(*weights):
        suite = suite_of(options_of("x", "imagenet", data=(str(tmp_path),), weights=weights))
        return {training.net: training.weights for training in suite.trainings}

    assert given("imagenet") == {"D": "imagenet", "E": "imagenet"}
    assert given("E=b.h5", "D=a=1.h5") == {"D": "a=1.h5", "E": "b.h5"}
    assert given("D=a.h5", "E=imagenet") == {"D": "a.h5", "E": "imagenet"}
    assert set(given()) == {"A", "A-LRN", "B", "B-5x5", "C", "D", "E"}
