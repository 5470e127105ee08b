"""What a suite's folder refuses: another design, other images, other starts, other given nets."""

import dataclasses
import json

import pytest

from tests.reproduction.fake_start import FakeStart, options_of
from vgg_keras.errors import UserError
from vgg_keras.evaluation import posteriors
from vgg_keras.overrides import override
from vgg_keras.plain_values import to_dict
from vgg_keras.reproduction import plan, suites
from vgg_keras.reproduction.job import reproduce
from vgg_keras.reproduction.options import suite_of


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


def test_a_runs_folder_states_s_where_the_recipe_leaves_it_out(tmp_path):
    suite = suites.of("imagenet", {})
    (run, *_) = plan.runs_of(suite, tmp_path)
    assert run.config.data.scale == ()
    stated = to_dict(override(run.config, {"data.scale": (256,), "architecture.num_classes": 1000}))
    run.folder.mkdir(parents=True)
    (run.folder / "config.json").write_text(json.dumps({"config": stated, "classes": []}))
    assert plan.runs_of(suite, tmp_path)[0] == run
