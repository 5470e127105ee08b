"""`load_weights` keeps the layers that a source has nothing for and names them; `load_net` refuses a net with random layers."""

import numpy as np
import pytest
from keras import layers as kl

import vgg_keras
from tests.weights.formats.fine_tuned import applications, equal, filled, images_of, on_output
from tests.weights.sources import save_torch, torch_vgg
from vgg_keras.config import Architecture, Config, Data
from vgg_keras.errors import UserError
from vgg_keras.weights.load import load_net

MEAN = (110.0, 110.0, 110.0)


@pytest.mark.slow
def test_another_number_of_classes_keeps_the_last_layer(applications, applications_h5, capsys):
    model = vgg_keras.build("D", num_classes=3, crop=64, seed=0)
    last = [array.copy() for array in model.get_layer("predictions").get_weights()]
    vgg_keras.load_weights(model, applications_h5)
    printed = capsys.readouterr().err
    print(printed)
    assert "no weights for predictions, which stay as they were; num_classes=11 takes its own" in printed
    assert np.array_equal(model.get_layer("fc2").kernel, applications.get_layer("fc2").kernel)
    assert all(np.array_equal(*pair) for pair in zip(last, model.get_layer("predictions").get_weights(), strict=True))


def test_a_net_with_random_layers_is_refused(applications_h5, applications_notop_h5):
    with pytest.raises(UserError, match=r"without the FC layers is no whole net\. Received: .*notop.* trains a head"):
        vgg_keras.load_weights(None, applications_notop_h5)
    for path, classes, message in (
        (applications_notop_h5, 0, r"fc1, fc2, predictions\. train --weights=.*notop\.h5 trains them"),
        (applications_notop_h5, 3, r"fc1, fc2, predictions\. train --weights="),
        (
            applications_h5,
            3,
            r"without those of predictions\. --set=architecture\.num_classes=11 takes its own; train --weights=",
        ),
    ):
        config = Config(Architecture("D", num_classes=classes, crop=64), Data(scale=(64,)))
        with pytest.raises(UserError, match=rf"weights in every layer\. Received: .*{path.name}, .*{message}"):
            load_net(path, config)


def a_net(**fields):
    return vgg_keras.build(
        "A", **{"width": 1 / 16, "crop": 32, "head": "gap", "num_classes": 3, "mean": MEAN, **fields}
    )


def test_the_last_layer_of_another_task_is_named_by_its_task(tmp_path, capsys):
    """Boxes for scores and scores for boxes: the number of classes was named, which the net had already."""
    for theirs, ours, fields in (
        ({"boxes": "pcr"}, {}, "boxes=pcr"),
        ({"boxes": "pcr"}, {"num_classes": 5}, "boxes=pcr num_classes=3"),
        ({}, {"boxes": "pcr"}, "boxes=none"),
        ({"boxes": "pcr"}, {"boxes": "pcr", "box_unit": "pixels"}, "box_unit=crop"),
        ({"boxes": "scr"}, {"boxes": "pcr", "num_classes": 5}, "boxes=scr"),
    ):
        a_net(**theirs).save(tmp_path / "net.keras")
        vgg_keras.load_weights(a_net(**ours), tmp_path / "net.keras")
        assert (
            capsys.readouterr().err.rstrip().endswith(f"predictions, which stay as they were; {fields} takes its own")
        )
    flags = r"without those of predictions\. --set=architecture\.boxes=scr takes its own; train"
    with pytest.raises(UserError, match=flags):
        load_net(tmp_path / "net.keras", Config(a_net(boxes="pcr").architecture, Data(scale=(32,))))


def test_arrays_alone_of_other_channels_name_them(tmp_path):
    """R, G and B were named, which are refused for a net in grey."""
    a_net(channels=1, mean=(110.0,)).save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(UserError, match=r"or --set=architecture\.channels=1 --set=architecture\.mean=M1, and"):
        load_net(tmp_path / "net.weights.h5")
    stated = {"channels": 1, "mean": (110.0,), "crop": 32}
    assert load_net(tmp_path / "net.weights.h5", stated=stated).config.architecture.mean == (110.0,)


@pytest.mark.slow
def test_images_that_a_file_does_not_describe_are_stated(tmp_path, capsys):
    """As behind ImageDataGenerator(rescale=1/255), of which a file of the net says nothing."""
    model = filled(on_output(applications(), kl.Flatten(), kl.Dense(5)))
    model.save(tmp_path / "net.keras")
    images = images_of(model)
    loaded = load_net(tmp_path / "net.keras", stated={"mean": (0.0, 0.0, 0.0), "std": (255.0, 255.0, 255.0)})
    assert equal("stated", loaded, model, images, images / np.float32(255))
    assert "read as" not in capsys.readouterr().err


def test_what_is_stated_is_a_field_and_does_not_contradict_the_file(tmp_path):
    path = save_torch(torch_vgg("A", width=1 / 16, crop=64), tmp_path / "net.pth")
    for stated, message in (
        ({"croop": 64}, r"Received: croop=\.\.\. Did you mean 'crop'\?"),
        ({"crop": 224}, r"Received: crop=224 for .*net\.pth, whose crop is 64\."),
        ({"name": "E"}, r"Received: name=E for .*net\.pth, whose name is A\."),
        ({"mean": (0, 0, 0)}, r"Received: mean=\(0\.0, 0\.0, 0\.0\) for .*, whose mean is \(123\.6"),  # without std
    ):
        with pytest.raises(UserError, match=message):
            load_net(path, stated=stated)
    with pytest.raises(UserError, match=r"every field of the net\. Received: one, and stated=\{'crop': 64\} beside it"):
        load_net(path, Config(Architecture("A")), stated={"crop": 64})
    assert load_net(path, stated={"crop": 70}).config.architecture.crop == 70  # whose last map is the same
