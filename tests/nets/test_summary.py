"""The printed tables against the paper's Tables 1 and 2 and sums by hand."""

import re

from vgg_keras.config import Architecture
from vgg_keras.nets.summary import summarize_family, summarize_net


def cells(text, row):
    """The words of a table's row behind its name."""
    return re.split(r"\s{2,}", next(line for line in text.splitlines() if line.startswith(row)).strip())[1:]


def test_the_family_has_the_papers_layers_and_parameters():
    text = summarize_family(side=224, batch=1)
    assert cells(text, "weight layers") == ["11", "11", "13", "8", "16", "16", "19"]  # B-5x5 behind B
    parameters = [round(int(cell.replace(",", "")) / 1e6) for cell in cells(text, "parameters")]
    assert parameters == [133, 133, 133, 135, 134, 138, 144]
    first_block = text.splitlines()[text.splitlines().index("") + 4 :][:3]
    assert [line.split() for line in first_block] == [
        ["conv3-64", "conv3-64", "conv3-64", "conv5-64", "conv3-64", "conv3-64", "conv3-64"],
        ["LRN", "conv3-64", "conv3-64", "conv3-64", "conv3-64"],
        ["maxpool"] * 7,
    ]
    assert "81% more" in text and "39% more" in text  # 2.3: 49 and 27, 25 and 18


def test_a_net_is_listed_layer_by_layer_and_its_totals_are_the_sums():
    text = summarize_net(Architecture("A", num_classes=10, width=1 / 4, crop=64), side=64, batch=8)
    first, last = cells(text, "block1_conv1"), cells(text, "predictions")
    # 3 x 3 x 3 x 16 weights, 16 biases; at 64 x 64 positions
    assert first == ["3x3", "64 x 64 x 16", "448", f"{27 * 16 * 64 * 64:,}", "1", "3"]  # stride and receptive field
    assert last[1:4] == ["1 x 1 x 10", "10,250", "10,240"]
    rows = [
        re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if re.match(r"block\d|fc|predictions", line)
    ]
    counted = [row for row in rows if len(row) == 7]
    totals = [sum(int(row[column].replace(",", "")) for row in counted) for column in (3, 4)]
    assert cells(text, "total")[:2] == [f"{total:,}" for total in totals]


def test_the_input_has_the_nets_channels():
    text = summarize_net(Architecture("A", num_classes=10, crop=64, channels=1), side=64, batch=8)
    assert text.splitlines()[0].endswith("input 64 x 64 x 1")
    assert cells(text, "block1_conv1")[2] == str(9 * 64 + 64)
