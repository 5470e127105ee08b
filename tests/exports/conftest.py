"""What the tests of exports share: a net, photographs, and the files of each format, made once."""

import dataclasses
import json

import pytest

import vgg_keras
from tests.conftest import made_once, write_images
from tests.data.awkward import tiff, with_exif
from vgg_keras.config import Architecture, Config, Data, Evaluation, Export
from vgg_keras.exports.export import export
from vgg_keras.exports.parity import Parity
from vgg_keras.weights.formats.run_folder import LoadedModel

CLASSES = ("Hund", "great cat", "лев")  # with a space and another alphabet


def pytest_collection_modifyitems(items):
    """TFLite warns that it will move, and that uint8 inputs have no statistics."""
    for item in items:
        if "tests/exports/" in item.path.as_posix():
            item.add_marker(
                pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected:UserWarning")
            )
            item.add_marker(pytest.mark.filterwarnings("ignore:.*tf.lite.*:UserWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Three classes of pictures of several sizes, 6 for training and 4 to compare on of each."""
    root = tmp_path_factory.mktemp("exports") / "photos"
    for seed, (split, count) in enumerate((("train", 6), ("val", 4))):
        for label, name in enumerate(CLASSES):
            paths = write_images(root / split / name, [(48, 60), (70, 50)] * (count // 2), seed=10 * seed + label)
            paths[1].write_bytes(with_exif(paths[1].read_bytes(), tiff(6)))  # as a camera that is held upright
    return root


@pytest.fixture(scope="session")
def net(tmp_path_factory, photos):
    """A net whose probabilities differ from picture to picture."""
    architecture = Architecture("A", num_classes=3, crop=32, width=1 / 8, mean=(120.0, 110.0, 100.0), initializer="he")
    config = Config(
        architecture=architecture,
        data=Data(source=str(photos), scale=(40,)),
        evaluation=Evaluation(scales=(40, 64)),
        export=Export(images=12, representative_images=18),
    )
    config = dataclasses.replace(
        config, runtime=dataclasses.replace(config.runtime, cache_dir=str(tmp_path_factory.mktemp("cache")))
    )
    model = vgg_keras.build(architecture, dtype="float32", seed=3)
    kernel, bias = model.get_layer("predictions").get_weights()
    model.get_layer("predictions").set_weights([kernel / 50, bias])  # He's first logits would be in the hundreds
    return LoadedModel(model, config, CLASSES, photos, "12")


@pytest.fixture(scope="session")
def exported(shared_folder, net):
    """Of a format: the folder of its files, and their parities with the net."""

    def of(form):
        folder = made_once(shared_folder / f"exported-{form}", lambda made: export(net, net.config, form, made / form))
        described = json.loads((folder / form / "export.json").read_text())
        return folder / form, [Parity(**parity) for parity in described["parity"]]

    return of
