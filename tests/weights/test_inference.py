"""The net that a file holds is inferred from names and shapes; of weights that do not fit, the fields that would are named."""

import keras
import numpy as np
import pytest
import scipy.io
import torch
from safetensors.numpy import save_file

import vgg_keras
from tests.weights import sources
from tests.weights.sources import ours, save_torch, small, torch_vgg
from vgg_keras.config import Architecture, Config, Data
from vgg_keras.errors import UserError
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.weights import convert, inference
from vgg_keras.weights.inference import convert_or_suggest, resolved
from vgg_keras.weights.load import load_net
from vgg_keras.weights.read import read
from vgg_keras.weights.source_weights import CAFFE, Preprocessing, SourceWeights, same_names


def test_a_files_own_net_is_converted_once(tmp_path, monkeypatch):
    converted = []

    def counted(*arguments):
        converted.append(arguments)
        return convert.convert(*arguments)

    monkeypatch.setattr(inference, "convert", counted)
    net = torch_vgg("B", batch_norm=True, width=1 / 16, crop=32)
    path = save_torch(net, tmp_path / "vgg.pth")
    assert load_net(path, stated={"crop": 32}).config.architecture.name == "B" and len(converted) == 1
    torch.save({**net.state_dict(), "classifier.6.bias": torch.full((7,), float("inf"))}, path)
    with pytest.raises(UserError, match=r"must be finite\. Received: .*vgg\.pth, whose classifier\.6 holds"):
        load_net(path, stated={"crop": 32})


@pytest.mark.slow
def test_odd_widths_take_their_own_weights(tmp_path, random):
    images = random.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    for width in (0.03, 0.3, 1 / 3):
        source, target = small(width=width, seed=1), small(width=width, seed=2)
        source.save(tmp_path / "net.keras")
        vgg_keras.load_weights(target, tmp_path / "net.keras")
        assert np.array_equal(ours(source, images), ours(target, images)), width


# ---- sources of arrays alone


def arrays(channels=3, outputs=3, **fields):
    """A thin net A with an FC layer behind a pooling, as a file holds it."""
    tensors, inputs = {}, channels
    for block, count in enumerate((1, 1, 2, 2, 2), start=1):
        for place in range(1, count + 1):
            units = round(64 * min(8, 2 ** (block - 1)) / 16)
            tensors[f"block{block}_conv{place}"] = (
                np.ones((3, 3, inputs, units), np.float32),
                np.zeros(units, np.float32),
            )
            inputs = units
    tensors["predictions"] = np.ones((inputs, outputs), np.float32), np.zeros(outputs, np.float32)
    fields = {"preprocessing": CAFFE, "assumed": "Caffe's", "head": "gap", "crop": 64, **fields}
    return SourceWeights("net", tensors, same_names, channels_first=False, fc_layers=("predictions",), **fields)


def test_both_fields_that_are_stated_replace_what_is_assumed():
    mean, std = CAFFE.mean, (1.0, 1.0, 1.0)  # the same mean, of images in RGB
    stated = inference.with_stated(arrays(), mean, std)
    assert stated.preprocessing == Preprocessing(mean, std) and stated.assumed == ""
    for one in ((mean, ()), ((), std)):
        assert inference.with_stated(arrays(), *one).preprocessing == CAFFE
    assert inference.with_stated(arrays(assumed=""), mean, std).preprocessing == CAFFE  # known


@pytest.mark.parametrize("channels", [1, 4])
def test_means_of_other_channels_are_compared(channels):
    grey = arrays(channels, preprocessing=None)
    stated = inference.with_stated(grey, (20.0,) * channels, (255.0,) * channels)
    assert inference.class_names(arrays(outputs=1000, preprocessing=stated.preprocessing), 1000) == ()
    own = inference.infer(stated, stated={"channels": channels, "std": (255.0,) * channels})
    assert (own.channels, own.mean, own.std) == (channels, (20.0,) * channels, (255.0,) * channels)
    other = thin(num_classes=3, channels=channels, mean=(9.0,) * channels, crop=64, head="gap")
    values = {1: r"\(20,\)", 4: r"\(20, 20, 20, 20\)"}[channels]  # as Python takes it, and a command line
    with pytest.raises(UserError, match=rf"with mean={values}\. It fits mean={','.join(['20'] * channels)}$"):
        convert_or_suggest(stated, other)
    rgb = arrays(preprocessing=Preprocessing((10.0, 20.0, 30.0)), assumed="")
    with pytest.raises(UserError, match=rf"It fits mean={','.join(['20'] * channels)}$"):
        convert_or_suggest(rgb, other)


@pytest.mark.parametrize("mean", [9.0, 20.0])
def test_a_net_in_grey_is_refused_for_rgb_with_its_channels(mean):
    """It named the mean, and with that mean it was refused for its shape."""
    grey = arrays(1, preprocessing=Preprocessing((20.0,)), assumed="")
    rgb = thin(num_classes=3, mean=(mean,) * 3, crop=64, head="gap")
    with pytest.raises(UserError, match=r"of channels=1, for 3\. It fits channels=1 mean=20$"):
        convert_or_suggest(grey, rgb)


def test_a_mean_is_named_with_the_channels_of_its_net():
    with pytest.raises(UserError, match=r"Name it: --set=architecture\.channels=2 --set=architecture\.mean=M1,M2, and"):
        resolved(thin(channels=2, crop=64, head="gap"), arrays(2, preprocessing=None, assumed=""))


def test_the_task_of_a_file_is_of_its_last_layer_alone():
    sigmoids = arrays(multi_label=True)
    assert resolved(thin(head="gap", crop=64), sigmoids).multi_label
    for fields in ({"boxes": "pcr"}, {"num_classes": 9}):  # whose last layer is another
        assert not resolved(thin(head="gap", crop=64, **fields), sigmoids).multi_label
    assert not sigmoids.without_head().multi_label
    boxes = arrays(outputs=12, boxes=None, box_unit=None)
    own = inference.infer(boxes, stated={"boxes": "pcr"})
    assert (own.boxes, own.num_classes, own.outputs) == ("pcr", 3, 12)


# ---- the fields that would fit


def thin(**fields):
    return Architecture(**{"name": "A", "width": 1 / 16, "crop": 32, **fields})


def suggestion(path, architecture):
    """The fields that a refusal names, as text behind `architecture.`; they are checked to fit."""
    source, _ = read(path)
    with pytest.raises(UserError) as caught:
        convert_or_suggest(source, resolved(architecture, source), prefix="--set=architecture.")
    assert "\n" not in str(caught.value)
    assignments = [word.removeprefix("--set=") for word in str(caught.value).split(" It fits ")[1].split()]
    fitting = override(Config(architecture=architecture, data=Data(scale=(64,))), parse_assignments(assignments))
    convert_or_suggest(source, resolved(fitting.architecture, source))
    return [text.removeprefix("architecture.") for text in assignments]


@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".caffemodel", ".mat", ".h5", ".keras", ".weights.h5"])
def test_weights_of_every_format_that_do_not_fit_name_every_field_that_would(tmp_path, ending):
    net, path = torch_vgg("A", width=1 / 16, crop=64), tmp_path / f"net{ending}"
    if ending in (".pth", ".safetensors"):
        save_torch(net, path)
    elif ending == ".caffemodel":
        path.write_bytes(sources.caffemodel(sources.convolutions_and_fc(net)))
    elif ending == ".mat":
        mean = np.array([1.0, 2.0, 3.0])
        scipy.io.savemat(path, sources.matconvnet(sources.convolutions_and_fc(net), mean), oned_as="row")
    else:
        built = vgg_keras.build("A", num_classes=7, width=1 / 16, crop=64)
        if ending == ".h5":
            keras.Model(built.layers[1].output, built.output).save(path)
        else:
            (built.save if ending == ".keras" else built.save_weights)(path)
    other = thin(name="D", width=1 / 8, head="gap", batch_norm=True, mean=(1.0, 2.0, 3.0))
    named = suggestion(path, other)
    expected = ["name=A", "width=0.0625", "crop=64", "head=fc", "batch_norm=false"]
    assert [word for word in named if "mean" not in word] == expected


@pytest.mark.slow
def test_fields_are_named_of_nets_without_a_head_of_odd_width_and_of_one_fc_layer(tmp_path):
    gap = vgg_keras.build("D", num_classes=3, crop=32, width=0.3, head="gap", mean=(1.0, 2.0, 3.0))
    gap.save(tmp_path / "gap.keras")
    leaky = vgg_keras.build("A", num_classes=3, crop=32, width=0.3, activation="leaky_relu", negative_slope=0.1)
    leaky.save(tmp_path / "leaky.keras")
    state = torch_vgg("E", width=1 / 16, crop=32).state_dict()
    topless = {key: value.numpy() for key, value in state.items() if key.startswith("features")}
    save_file(topless, tmp_path / "topless.safetensors")
    for name, fields, wanted in (
        ("gap.keras", {"name": "D", "width": 0.3}, ["head=gap"]),
        ("leaky.keras", {"width": 0.3}, ["activation=leaky_relu", "negative_slope=0.1"]),
        ("topless.safetensors", {"head": "gap", "num_classes": 3}, ["name=E"]),
        ("topless.safetensors", {"width": 0.5, "num_classes": 3}, ["name=E", "width=0.0625"]),
    ):
        assert suggestion(tmp_path / name, thin(**fields)) == wanted


@pytest.mark.parametrize("state", [{}, {"0.weight": (8, 3, 7, 7), "0.bias": (8,)}])
def test_what_holds_no_convolutions_of_table_1_is_no_vgg_without_a_head(tmp_path, state):
    """It was recommended to train a head for it."""
    path = tmp_path / "net.safetensors"
    save_file({name: np.zeros(shape, np.float32) for name, shape in state.items()}, path)
    with pytest.raises(UserError, match=r"holds a net of Table 1\. Received: .*net\.safetensors"):
        inference.infer(read(path)[0])
