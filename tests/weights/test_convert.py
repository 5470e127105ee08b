"""Layers, shapes and numbers of a source must be the net's; its preprocessing becomes part of the first layers."""

import numpy as np
import torch

import vgg_keras
from tests.weights.sources import (
    TORCHVISION_MEAN,
    difference,
    logits,
    normalised,
    ours,
    save_torch,
    small,
    torch_vgg,
)
from vgg_keras.files import sha256


def test_another_standard_deviation_is_folded_in(tmp_path, random):
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    net = torch_vgg("A", width=1 / 16, crop=32)
    model = small(num_classes=7, mean=TORCHVISION_MEAN, std=(50.0, 60.0, 70.0))
    vgg_keras.load_weights(model, save_torch(net, tmp_path / "vgg.pth"))
    assert difference("std", ours(model, images), logits(net, normalised(images))) <= 1e-4


def test_other_layers_shapes_and_values_are_refused_with_their_names(tmp_path, refused):
    state = torch_vgg("A", width=1 / 16, crop=32).state_dict()

    def saved(changes):
        path = tmp_path / "vgg.pth"
        torch.save({key: value for key, value in {**state, **changes}.items() if value is not None}, path)
        return path

    refused(saved({"extra.weight": torch.zeros(3)}), r"missing: none; left over: extra\.")
    refused(
        saved({"features.3.weight": None, "features.3.bias": None, "more.bias": torch.zeros(1)}),
        r"layers of A and no more\. .*missing: features\.3; left over: more\.",
    )
    refused(
        saved({"features.0.weight": torch.zeros(4, 3, 5, 5)}), r"features\.0 has \(4, 3, 5, 5\), not \(4, 3, 3, 3\)"
    )
    refused(saved({"features.0.bias": torch.zeros(5)}), r"features\.0 has \(5,\), not \(4,\)")
    refused(saved({"features.0.bias": None}), r"features\.0 has nothing, not \(4,\)")
    refused(
        saved({"classifier.0.weight": torch.zeros(256, 31)}), r"classifier\.0 has \(256, 31\), not \(256, 32, 1, 1\)"
    )
    refused(saved({"features.3.bias": torch.full((8,), np.nan)}), r"must be finite\. .* whose features\.3 holds")
    save_torch(torch_vgg("D", width=1 / 16, crop=32), tmp_path / "D.pth")
    refused(tmp_path / "D.pth", r"layers of A and no more\. .*missing: features\.3, .*; left over: features\.")


def test_another_mean_is_refused_with_the_sources(tmp_path, refused):
    path = save_torch(torch_vgg("A", width=1 / 16, crop=32), tmp_path / "vgg.pth")
    refused(
        path,
        r"Received: mean 9, 8, 7 for .*Build the net with mean=\(123\.675, 116\.28, 103\.53\)",
        small(num_classes=7),
    )
    vgg_keras.load_weights(small(num_classes=7, mean=(123.675, 116.28, 103.53)), path, sha256(path))


def test_a_variance_below_zero_is_refused(tmp_path, refused):
    state = torch_vgg("A", batch_norm=True, width=1 / 16, crop=32).state_dict()
    torch.save({**state, "features.1.running_var": torch.full((4,), -5e-4)}, tmp_path / "variance.pth")
    model = small(num_classes=7, mean=TORCHVISION_MEAN, batch_norm=True)
    refused(tmp_path / "variance.pth", r"variance is not negative\. Received: .*, whose features\.1 has", model)
