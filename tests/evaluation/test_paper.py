"""The paper's cells, by hand from its tables, and only for nets and tests that are the paper's."""

import dataclasses
import json

import pytest

from tests.conftest import NET
from vgg_keras.config import Architecture
from vgg_keras.evaluation.paper import DENSE, Cell, cell


def net(name, training_scale, scales, protocol="dense", flip=True, grid=5, split="val", **fields):
    return dataclasses.replace(
        NET,
        architecture=Architecture(name, num_classes=1000, **fields),
        training_scale=tuple(training_scale),
        scales=tuple(scales),
        protocol=protocol,
        flip=flip,
        grid=grid,
        split=split,
    )


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
    assert cell(nets, 50_000) == expected


@pytest.mark.parametrize(
    ("nets", "reason"),
    [
        ([net("E", [256], [384])], "the paper prints none for this configuration, S, Q and protocol"),
        ([net("E", [256], [256], "center")], "the paper prints none for this configuration, S, Q and protocol"),
        ([net("E", [256], [256], split="train")], "the images of train, the paper's are of the validation set"),
        ([net("E", [256], [256], flip=False)], "without mirror images"),
        (
            [net("E", [], [256])],
            "S of these weights is not stated: --config=D --set=data.scale=256,512 beside them states it of the authors' D",
        ),
        ([net("E", JITTER, THREE, "multi_crop", grid=3)], "a grid of 3, the paper's 5"),
        ([net("E", [256], [256], width=0.25)], "width is 0.25, the paper's 1.0"),
        ([net("E", [256], [256], fc_units=(512,))], "hidden_units is (512, 512), the paper's (4096, 4096)"),
        ([net("E", [256], [256], channels=1)], "channels is 1, the paper's 3"),
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
    assert cell(nets, 50_000) == reason


def test_no_cell_for_other_sets_of_images():
    assert cell([net("E", [256], [256])], 5000) == "5,000 images, the paper's 50,000"


def test_every_cell_is_the_papers(shared_data):
    """Against tables.json, typed from the paper by others."""
    tables = json.loads((shared_data.parent / "paper" / "tables.json").read_text())

    def errors(row):
        return row["top1"], row["top5"]

    def scales(value):
        return value if isinstance(value, list) else [value]

    seen = 0
    for table in ("table3_single_scale", "table4_multi_scale"):
        for row in tables[table]:
            found = cell([net(row["config"], scales(row["S"]), scales(row["Q"]))], 50_000)
            assert (found.top1_error, found.top5_error) == errors(row) and found.table == int(table[5])
            seen += 1
    assert seen == len(DENSE) == 22
    protocols = {"dense": "dense", "multi-crop": "multi_crop", "multi-crop & dense": "both"}
    for row in tables["table5_dense_versus_crops_S256_512_Q256_384_512"]:
        found = cell([net(row["config"], JITTER, THREE, protocols[row["method"]])], 50_000)
        assert (found.top1_error, found.top5_error) == errors(row)
    for row in tables["table6_fusion"]:
        nets = []
        for words in row["nets"]:
            name, training, test = words.split(" (")[0].split("/")
            nets.append(
                net(
                    name,
                    [int(s) for s in training.strip("[]").split(";")],
                    [int(q) for q in test.split(",")],
                    protocols[row["method"]],
                )
            )
        found = cell(nets, 50_000)
        assert (found.table, found.top1_error, found.top5_error) == (6, *errors(row))
