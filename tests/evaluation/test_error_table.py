"""A row's text, by hand: nets, scales, errors."""

import dataclasses

import numpy as np

from tests.conftest import NET
from vgg_keras.config import Architecture
from vgg_keras.evaluation import error_table
from vgg_keras.evaluation.posteriors import Posteriors


def posteriors(*nets):
    """Four images of two classes, the last one predicted wrongly."""
    return Posteriors(
        probabilities=np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]], np.float32),
        labels=np.array([0, 1, 0, 1], np.int32),
        ids=tuple("abcd"),
        fingerprints=np.arange(4),
        classes=("cat", "dog"),
        nets=nets,
        done=np.ones(4, np.bool_),
        seconds=1.0,
    )


def test_a_net_is_named_by_what_differs_from_the_paper():
    small = Architecture("D", width=0.25, batch_norm=True, head="gap")
    net = dataclasses.replace(NET, model="runs/jitter", architecture=small, training_scale=(256, 512), flip=False)
    row = error_table.row(posteriors(net))
    assert row.net == "D (width 0.25, batch norm, global average pooling, jitter)"
    assert (row.training_scale, row.scales, row.protocol) == ("256-512", "256", "dense, no flip")
    assert (row.images, row.top1_error, row.top5_error) == (4, 25.0, None)


def test_a_fusion_names_each_net_and_each_setting_once():
    other = dataclasses.replace(NET, model="runs/D", architecture=Architecture("D"), scales=(256, 384))
    row = error_table.row(posteriors(NET, other))
    assert (row.net, row.protocol, row.scales) == ("fusion of E + D", "dense", "256 + 256, 384")
    header, cells = error_table.table([row], 2)
    assert dict(zip(header, cells, strict=True)) | {"95 % interval": ""} == {
        "net": "fusion of E + D",
        "S": "256",
        "protocol": "dense",
        "Q": "256 + 256, 384",
        "images": "4",
        "top-1 error": "25.00 %",
        "95 % interval": "",
        "top-5 error": "meaningless among 2 classes",
        "balanced error": "25.00 %",
        "paper": "-",
    }


def test_a_multi_label_row_has_average_precisions_by_hand():
    """Cat is ranked right, wrong, right: 1 and 2/3 at its two images; dog's one image is the second."""
    labels = np.array([[1, 0], [0, 1], [1, 0], [-1, 0]], np.int8)
    made = dataclasses.replace(
        posteriors(dataclasses.replace(NET, architecture=Architecture("E", multi_label=True))),
        labels=labels,
        probabilities=np.array([[0.9, 0.6], [0.8, 0.5], [0.3, 0.1], [1.0, 0.2]], np.float32),
    )
    made.check()
    row = error_table.row(made)
    header, cells = error_table.table([row], 2)
    shown = dict(zip(header, cells, strict=True))
    area = 100 * ((1 / 2 + 1 / 2 * 2 / 3) + 1 / 2) / 2
    eleven = 100 * ((6 + 5 * 2 / 3) / 11 + 1 / 2) / 2
    wrong = 100 * 3 / 7  # of seven decisions that count: cat of the second and the third, dog of the first
    assert shown["mAP"] == f"{area:.2f} %" and shown["VOC-2007 mAP"] == f"{eleven:.2f} %"
    assert shown["Hamming loss"] == f"{wrong:.2f} %" and "top-1 error" not in shown
    assert row.paper == "multi_label is True, the paper's False" or "num_classes" in row.paper
