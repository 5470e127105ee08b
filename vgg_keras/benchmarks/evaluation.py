"""The protocols of 3.2 and appendix B's descriptors on photographs, from the file on.

They are timed beside `model.predict` and the net's own convolutions.

`model.predict` takes crops in memory. It runs before and after each row, so a row's ratio is to its neighbours.
"""

import dataclasses
import statistics
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from vgg_keras import processor, runtime
from vgg_keras.benchmarks import rounds
from vgg_keras.benchmarks.rounds import Row
from vgg_keras.config import Architecture, Config, label_of_test_scales
from vgg_keras.data.decoding import decode
from vgg_keras.data.rescaling import rescaled_size
from vgg_keras.data.scan import readable
from vgg_keras.data.sources import open_test
from vgg_keras.data.splits import Split, evenly
from vgg_keras.evaluation.protocols import Crops, Dense
from vgg_keras.nets.architectures import costs, hidden_fc, multiply_adds
from vgg_keras.nets.builder import build
from vgg_keras.text_table import text_table
from vgg_keras.transfer.descriptors import LAST_MAP, Pooled

SINGLE, THREE = (256,), (256, 384, 512)  # Q, at crop 224; in proportion at others


def run(config: Config, architecture: Architecture, images: int, repeats: int, only: Sequence[str]) -> None:
    """Times the protocols and prints a table and a JSON line.

    Args:
        config: its data, evaluation and runtime are followed.
        architecture: classes and mean known; random weights.
        images: photographs of a round for centre, dense at one scale and features; the others take an eighth.
        repeats: rounds that are counted.
        only: rows, by the beginnings of their names.
    """
    precision = runtime.one_device(config.runtime)
    description, _, _, split = open_test(config.data, "val")
    split, _ = readable(split, "val", config)
    photographs = split.select(evenly(split.size, images))
    model = build(architecture, dtype=precision, seed=config.seed)

    predict = _predict(model, architecture, config.evaluation.batch)
    convolutions = _convolutions(architecture, precision)
    rows = rounds.chosen(_protocols(model, architecture, config, photographs), only)
    found = []
    for _ in rounds.progress(repeats + 1):
        found.append({})
        before = _rate(predict)
        for row in [convolutions, *rows]:
            rate, after = _rate(row), _rate(predict)
            found[-1][row.name] = rate, (before + after) / 2
            before = after
            rounds.raise_if_requested()
    records = _medians(predict, [convolutions, *rows], found[1:])
    print(f"{architecture.name}, width {architecture.width:g}, {precision}, {processor.description()}")
    print(f"{description}; medians of {repeats} rounds, the spread in brackets\n")
    _print_table(records)
    net = {"architecture": architecture.name, "width": architecture.width, "crop": architecture.crop}
    rounds.print_json("evaluate", **net, precision=precision, data=description, repeats=repeats, rows=records)


def _convolutions(architecture, precision: str) -> Row:
    """Each convolution of the net by itself, on tensors of its own shape: the machine's measured rate."""
    dtype = tf.as_dtype(keras.dtype_policies.get(precision).compute_dtype)
    images, channels, operations, calls = 8, 3, 0, []
    for cost in costs(architecture):
        layer, side = cost.layer, cost.height
        if layer.kind == "conv":
            x = tf.cast(tf.random.stateless_uniform([images, side, side, channels], [1, 2]), dtype)
            kernel = tf.cast(
                tf.random.stateless_normal([layer.kernel, layer.kernel, channels, layer.units], [3, 4]), dtype
            )
            calls.append((x, kernel))
            operations += 2 * images * cost.multiply_adds
        channels = layer.units

    @tf.function(input_signature=[tf.TensorSpec([None] * 4, dtype)] * 2, jit_compile=False)
    def convolve(x, kernel):
        return tf.nn.conv2d(x, kernel, 1, "SAME")

    def work():
        for x, kernel in calls:
            convolve(x, kernel)[0, 0, 0, 0].numpy()

    return Row("convolutions alone", images, work, operations)


def _predict(model, architecture, batch: int) -> Row:
    crops = tf.random.stateless_uniform([batch, architecture.crop, architecture.crop, 3], [1, 2], 0, 255)
    operations = 2 * batch * multiply_adds(architecture, architecture.crop, architecture.crop)

    def work():
        model.predict(crops, batch, verbose=0)

    return Row("model.predict", batch, work, operations)


def _protocols(model, architecture, config: Config, photographs: Split) -> list[Row]:
    rules = config.evaluation
    fewer = photographs.select(np.arange(0, photographs.size, 8))
    center, dense = Crops(model, architecture, rules, 1), Dense(model, architecture, rules)
    grid = Crops(model, architecture, rules, rules.grid)
    hidden = [LAST_MAP, *hidden_fc(architecture)][-1]
    pooled = Pooled(model, architecture, rules, (hidden,))
    without_last = dataclasses.replace(architecture, num_classes=0)
    one, three = (tuple(round(side * architecture.crop / 224) for side in scales) for scales in (SINGLE, THREE))

    def row(name, split, passes, operations):
        return Row(name, split.size, _through(split, config, passes), operations)

    def uncropped(split, scales, net=architecture):
        return _uncropped(split, scales, net, rules)

    at_crop = 2 * (1 + rules.flip) * multiply_adds(architecture, architecture.crop, architecture.crop)
    many = fewer.size * rules.grid**2 * at_crop
    return [
        row(f"centre crop, Q={one[0]}", photographs, [(center, one)], photographs.size * at_crop),
        row(f"dense, Q={one[0]}", photographs, [(dense, one)], uncropped(photographs, one)),
        row(f"dense, Q={label_of_test_scales(three)}", fewer, [(dense, three)], uncropped(fewer, three)),
        row(f"multi-crop, Q={one[0]}", fewer, [(grid, one)], many),
        row(f"both, Q={one[0]}", fewer, [(dense, one), (grid, one)], many + uncropped(fewer, one)),
        row(f"features {hidden}, Q={one[0]}", photographs, [(pooled, one)], uncropped(photographs, one, without_last)),
    ]


def _through(split: Split, config: Config, passes) -> Callable[[], None]:
    """A split through protocols, each at its Q."""

    def work():
        for protocol, scales in passes:
            for side in scales:
                for _ in protocol(split, config.data, side):
                    pass

    return work


def _uncropped(split: Split, scales, net, rules) -> int:
    """The operations of whole images at each Q."""
    total = 0
    for image in range(split.size):
        height, width = decode(split.read(tf.constant(image, tf.int64))[0]).shape[:2]
        for side in scales:
            total += multiply_adds(net, *(int(size) for size in rescaled_size(height, width, side)))
    return 2 * (1 + rules.flip) * total


def _rate(row: Row) -> float:
    """Does the row's work once; operations per second."""
    return row.operations / row.seconds()


def _medians(predict: Row, rows: list[Row], found: list[dict[str, tuple[float, float]]]) -> list[dict]:
    """Medians over the rounds. The ratio to `model.predict` is to its runs just before and after the row's."""
    ideal = statistics.median(rates[rows[0].name][0] for rates in found)
    records = []
    for row in [rows[0], predict, *rows[1:]]:
        if row is predict:
            pairs = [(other, other) for rates in found for _, other in rates.values()]
        else:
            pairs = [rates[row.name] for rates in found]
        rate = statistics.median(rate for rate, _ in pairs)
        compared = [rate / other for rate, other in pairs]
        operations = row.operations / row.images
        records.append(
            {
                "name": row.name,
                "images": row.images,
                "images_per_second": rate / operations,
                "gflop_per_image": operations / 1e9,
                "gflops": rate / 1e9,
                "ideal_images_per_second": ideal / operations,
                "of_the_ideal": rate / ideal,
                "of_predict": statistics.median(compared),
                "of_predict_range": [min(compared), max(compared)],
            }
        )
    return records


def _print_table(records: list[dict]) -> None:
    header = ["", "images", "images/s", "GFLOP per image", "GFLOP/s", "ideal images/s", "of the ideal"]
    lines = [[*header, "of model.predict"]]
    for row in records:
        low, high = row["of_predict_range"]
        numbers = f"{row['images_per_second']:.3g}", f"{row['gflop_per_image']:.4g}", f"{row['gflops']:.3g}"
        ideal = f"{row['ideal_images_per_second']:.3g}", f"{row['of_the_ideal']:.2f}"
        lines.append(
            [row["name"], str(row["images"]), *numbers, *ideal, f"{row['of_predict']:.2f} ({low:.2f}-{high:.2f})"]
        )
    print(text_table(lines))
