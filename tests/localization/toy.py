"""Thin nets of boxes with random weights, on drawn pictures."""

from pathlib import Path

import vgg_keras
from tests.conftest import NET
from tests.data.rectangles import write_list
from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.data.sources import open_test
from vgg_keras.evaluation.images import scanned_images
from vgg_keras.localization import evaluator
from vgg_keras.localization.predicted_boxes import LocalizingNet
from vgg_keras.overrides import override
from vgg_keras.weights.formats.run_folder import LoadedModel

BOX = (10, 10, 60, 70)  # of the drawn pictures


def a_net(folder, boxes="pcr", seed=1, channels=3, num_classes=2, **changes):
    """With random weights, and the configuration of its test on the folder's list."""
    fields = {"num_classes": num_classes, "crop": 32, "width": 1 / 16, "mean": (100.0,) * channels, "initializer": "he"}
    architecture = Architecture("A", boxes=boxes, channels=channels, **fields)
    config = Config(
        architecture, Data(source=str(folder / "list.csv"), scale=(36,)), evaluation=Evaluation(protocol="center")
    )
    config = override(config, {"runtime.cache_dir": str(folder), "evaluation.flip": False} | changes)
    model = vgg_keras.build(architecture, seed=seed)
    return LoadedModel(model, config, ("a", "b"), Path(f"net {seed}"), f"digest {seed}")


def evaluated(folder, rows, net, out="out", classifier=None):
    """The result of a net on the list of `rows`, in folder/out."""
    write_list(folder, rows)
    description, _, name, split = open_test(net.config.data, "val")
    images = scanned_images(split, name, description, net.config)
    (folder / out).mkdir(exist_ok=True)
    return evaluator.evaluate(net, net.config, images, "float32", folder / out, classifier)


def described(**fields):
    """A net of the paper and its dense test, for boxes made by hand."""
    known = {key: value for key, value in NET.__dict__.items() if key != "grid"}
    architecture = Architecture("D", num_classes=1000, boxes=fields.pop("boxes", "pcr"))
    known |= {"architecture": architecture, "layout": (1, 1000, 6, 9), "trained_layers": "all", "mean_box": ()}
    known |= {
        "flip": False,
        "windows": "map",
        "best_classes": 5,
        "classifier_sha256": "12",
        "boxes_sha256": "34",
        "several_left_out": False,
    }
    return LocalizingNet(**(known | fields))
