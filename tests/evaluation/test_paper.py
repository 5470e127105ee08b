"""The paper's cells, by hand from its tables, and only for nets and tests that are the paper's."""

import pytest

from vgg_keras.config import Architecture, to_dict
from vgg_keras.evaluation.paper import DENSE, Cell, cell


def net(name, training_scale, scales, protocol="dense", flip=True, grid=5, **fields):
    return {
        "architecture": to_dict(Architecture(name, num_classes=1000, **fields)),
        "training_scale": training_scale,
        "scales": scales,
        "protocol": protocol,
        "flip": flip,
        "grid": grid,
    }


JITTER, THREE = [256, 512], [256, 384, 512]


@pytest.mark.parametrize(
    ("nets", "expected"),
    [
        ([net("A-LRN", [256], [256])], Cell(3, 29.7, 10.5)),
        ([net("E", [384, 384], [384])], Cell(3, 26.9, 8.7)),
        ([net("D", JITTER, [384])], Cell(3, 25.6, 8.1)),
        ([net("B", [256], [288, 224, 256])], Cell(4, 28.2, 9.6)),
        ([net("E", JITTER, THREE)], Cell(4, 24.8, 7.5)),
        ([net("E", JITTER, THREE, "multi_crop")], Cell(5, 24.6, 7.4)),
        ([net("D", JITTER, THREE, "both")], Cell(5, 24.4, 7.2)),
        ([net("E", JITTER, THREE), net("D", JITTER, THREE)], Cell(6, 24.0, 7.1)),
        ([net("D", JITTER, THREE, "both"), net("E", JITTER, THREE, "both")], Cell(6, 23.7, 6.8)),
    ],
)
def test_cells(nets, expected):
    assert cell(nets) == expected


@pytest.mark.parametrize(
    ("nets", "reason"),
    [
        ([net("E", [256], [384])], "the paper prints none for this configuration, S, Q and protocol"),
        ([net("E", [256], [256], "center")], "the paper prints none for this configuration, S, Q and protocol"),
        ([net("E", [256], [256], flip=False)], "without mirror images"),
        ([net("E", JITTER, THREE, "multi_crop", grid=3)], "a grid of 3, the paper's 5"),
        ([net("E", [256], [256], width=0.25)], "width is 0.25, the paper's 1.0"),
        (
            [net("E", JITTER, THREE), net("D", JITTER, THREE, "both")],
            "the paper prints none for this configuration, S, Q and protocol",
        ),
        (
            [net("E", JITTER, THREE), net("E", JITTER, THREE)],
            "the paper prints none for this configuration, S, Q and protocol",
        ),
    ],
)
def test_no_cell(nets, reason):
    assert cell(nets) == reason


def test_the_tables_are_whole():
    assert sum(len(scales) == 1 for _, _, scales in DENSE) == 12  # Table 3
    assert sum(len(scales) == 3 for _, _, scales in DENSE) == 10  # Table 4
