"""The protocols against plain loops in NumPy around the net, image by image."""

import dataclasses
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.warm import finished, run_code
from vgg_keras.config import Architecture, Data, Evaluation
from vgg_keras.data.rescaling import rescale
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.evaluation.protocols import Crops, Dense, require_few_pixels
from vgg_keras.nets.builder import build
from vgg_keras.nets.dense import to_fully_convolutional

SIZES = [(40, 60), (64, 64), (90, 40), (40, 60), (64, 64), (33, 200), (40, 60)]  # two sizes come again, so batches form


def small(name="A", **fields):
    architecture = Architecture(name, num_classes=6, width=1 / 16, crop=32, mean=(120, 110, 100), **fields)
    return build(architecture, seed=3), architecture


def pictures(random, sizes=SIZES):
    """Noise about a colour of its own for each picture, so that a net distinguishes them."""
    colors = random.uniform(0, 255, (len(sizes), 3))
    noises = [random.normal(color, 60, (*size, 3)) for color, size in zip(colors, sizes, strict=True)]
    images = [np.clip(noise, 0, 255).astype(np.uint8) for noise in noises]
    encoded = tf.constant([tf.io.encode_png(image).numpy() for image in images])
    labels = tf.range(len(images))
    return images, Split(len(images), lambda image: (tf.gather(encoded, image), tf.gather(labels, image)), str)


def run(protocol, split, side):
    """Posteriors in the split's order; every image must come exactly once."""
    rows = {}
    for ids, labels, posteriors in protocol(split, Data(), side):
        assert ids.tolist() == labels.tolist()
        for image, posterior in zip(ids.tolist(), posteriors, strict=True):
            assert image not in rows
            rows[image] = posterior
    return np.array([rows[image] for image in range(split.size)])


def softmax(logits):
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


@pytest.mark.slow
@pytest.mark.parametrize("head", ["fc", "gap"])
def test_dense_equals_a_loop_over_mirror_images_and_positions(random, head):
    images, split = pictures(random)
    model, architecture = small(head=head)
    net = to_fully_convolutional(model)
    several, single = (Dense(model, architecture, Evaluation(batch=batch)) for batch in (20, 1))
    without = Dense(model, architecture, Evaluation(flip=False))
    for side in (64, 96, 70):
        expected = np.zeros((len(images), 6))
        for row, image in enumerate(images):
            window = rescale(tf.constant(image), side, "bilinear").numpy()
            for view in (window, window[:, ::-1]):
                score_map = np.asarray(net(view[None]))[0].astype(np.float64)
                mean = np.zeros(6)
                for y in range(score_map.shape[0]):
                    for x in range(score_map.shape[1]):
                        mean += score_map[y, x] / (score_map.shape[0] * score_map.shape[1])
                expected[row] += softmax(mean) / 2
        measured = run(several, split, side)
        difference, alone = np.abs(measured - expected).max(), np.abs(run(single, split, side) - measured).max()
        print(f"{head}, Q={side}: largest difference to the loop {difference:.2g}, to one at a time {alone:.2g}")
        assert max(difference, alone) <= 1e-5
        assert np.ptp(expected, axis=0).max() > 0.01  # the net gives different images different posteriors
        assert np.abs(run(without, split, side) - measured).max() > 1e-4
    for function in (several.last_map, several.logits):  # three scales, seven sizes of image
        assert function.experimental_get_tracing_count() == 1


@pytest.mark.slow
@pytest.mark.parametrize("grid", [5, pytest.param(2, marks=pytest.mark.full), 1])
def test_crops_equal_a_loop_over_single_crops(random, grid):
    images, split = pictures(random)
    model, architecture = small()
    protocols = [Crops(model, architecture, Evaluation(batch=batch), grid) for batch in (7, 1)]
    for side in (32, 45):
        expected = np.zeros((len(images), 6))
        for row, image in enumerate(images):
            window = rescale(tf.constant(image), side, "bilinear").numpy()
            tops, lefts = (
                np.round(np.linspace(0, size - 32, grid)).astype(int) if grid > 1 else [(size - 32) // 2]
                for size in window.shape[:2]
            )
            crops = [
                window[top : top + 32, left : left + 32][:, ::step]
                for top in tops
                for left in lefts
                for step in (1, -1)
            ]
            for logits in np.asarray(model(np.stack(crops))):
                expected[row] += softmax(logits.astype(np.float64)) / len(crops)
        several, single = (run(protocol, split, side) for protocol in protocols)
        differences = np.abs(several - expected).max(), np.abs(single - several).max()
        print(
            f"grid {grid}, Q={side}: largest difference to the loop {differences[0]:.2g}, to one at a time {differences[1]:.2g}"
        )
        assert max(differences) <= 1e-5
        assert np.ptp(expected, axis=0).max() > 0.01
    assert protocols[0].logits.experimental_get_tracing_count() == 1


@pytest.mark.slow
def test_dense_at_the_crops_size_is_the_centre_crop_of_a_square(random):
    _, split = pictures(random, [(32, 32), (64, 64), (50, 50)])
    model, architecture = small("E")
    posteriors = [
        run(Dense(model, architecture, Evaluation()), split, 32),
        run(Crops(model, architecture, Evaluation(), 1), split, 32),
    ]
    assert np.abs(posteriors[0] - posteriors[1]).max() <= 1e-6
    assert np.ptp(posteriors[0], axis=0).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["A", "E", "B-5x5", "A-LRN"])
def test_tiles_make_the_same_map(random, name):
    model, architecture = small(name)
    whole = Dense(model, architecture, Evaluation(batch=100_000))
    tiled = Dense(model, architecture, Evaluation(batch=17))
    calls = []
    for shape in ((1, 50, 1037, 3), (1, 900, 64, 3)):
        image = tf.constant(random.uniform(0, 255, shape), tf.float32)
        expected, traced = whole.map_of(image), tiled.last_map
        tiled.last_map = lambda x, traced=traced: (calls.append(x.shape), traced(x))[1]
        measured = tiled.map_of(image)
        tiled.last_map = traced
        difference = np.abs(measured - expected).max()
        print(
            f"{name} {shape}: largest difference {difference:.2g} of values up to {expected.max():.3g}, {len(calls)} tiles"
        )
        assert measured.shape == expected.shape and difference <= 1e-5 * expected.max()
        tiled._halo -= 1
        assert np.abs(tiled.map_of(image) - expected).max() > 1e-4 * expected.max()
        tiled._halo += 1
    assert len(calls) > 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "net", "limit"),
    [
        ([(300, 60000)], '"A", width=0.25', 1.0),
        pytest.param([(9000, 12000), (12000, 600), (300, 60000)], '"D", width=0.5', 2.5, marks=pytest.mark.full),
    ],
    ids=["a panorama", "all"],
)
def test_a_huge_picture_and_a_panorama_stay_within_memory(tmp_path, sizes, net, limit):
    """12,000 x 9,000 pixels, and 20:1 and 200:1 strips, through a net at the paper's crop, in a process of its own."""
    paths = []
    for height, width in sizes:
        y, x = np.ogrid[:height, :width]
        image = np.broadcast_to(((x // 50 + y // 50) % 256).astype(np.uint8)[..., None], (height, width, 3))
        paths.append(str(tmp_path / f"{width}.jpg"))
        tf.io.write_file(paths[-1], tf.io.encode_jpeg(image))
    script = f"""
import resource, sys
import tensorflow as tf
from vgg_keras.config import Architecture, Data, Evaluation
from vgg_keras.errors import UserError
from vgg_keras.data.splits import Split
from vgg_keras.evaluation.protocols import Crops, Dense, require_few_pixels
from vgg_keras.nets.builder import build

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

architecture = Architecture({net}, num_classes=6, mean=(120, 110, 100))
model = build(architecture, seed=1)
model(tf.zeros([32, 224, 224, 3]))  # what a batch of crops takes
names = tf.constant(sys.argv[1:])
split = Split(len(names), lambda image: (tf.io.read_file(tf.gather(names, image)), tf.constant(0)), str)
before = peak()
for protocol in (Dense(model, architecture, Evaluation()), Crops(model, architecture, Evaluation(), 3)):
    images = [image for ids, _, posteriors in protocol(split, Data(), 256) for image in ids.tolist()]
    assert sorted(images) == list(range(len(names)))
    print(f"{{type(protocol).__name__}}: {{before:.2f}} GiB before, peak {{peak():.2f}} GiB, {{peak() - before:.2f}} more")
"""
    done = finished(run_code, [sys.executable, "-c", script, *paths], tmp_path)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    assert float(done.stdout.split()[-2]) < limit, done.stdout


def scanned(sizes, orientations=None):
    split = Split(len(sizes), lambda image: (tf.constant(b""), tf.constant(0)), lambda image: f"picture {image}.jpg")
    turned = None if orientations is None else np.array(orientations, np.int32)
    return dataclasses.replace(split, sizes=np.array(sizes, np.int32), orientations=turned)


def test_an_image_that_a_test_would_refuse_is_named_before_it(random):
    """2000 x 1 at Q=256 is 512,000 x 256, by hand; one more pixel than the limit is too many."""
    split = scanned([(300, 400), (2000, 1), (500, 1)])
    needed = 512_000 * 256
    require_few_pixels(split, Evaluation(max_pixels=needed), (256, 32))
    for limit in (needed - 1, 2**24):
        with pytest.raises(UserError) as caught:
            require_few_pixels(split, Evaluation(max_pixels=limit), (32, 256), "Or leave the image out.")
        message = str(caught.value)
        assert "Q=256" in message and f"--set=evaluation.max_pixels={needed}" in message and "\n" not in message
        assert "Received: picture 1.jpg, 512000 x 256 pixels then. Raise the limit" in message
        assert "2000 x 1 pixels" in message and (", and 1 more" in message) == (limit == 2**24)
    with pytest.raises(UserError, match=r"picture 0\.jpg, 256 x 512000 pixels then.*has 1 x 2000 pixels"):
        require_few_pixels(scanned([(2000, 1)], [6]), Evaluation(), (256,))
    with pytest.raises(UserError, match="256 x 25600000000 pixels then"):  # a side beyond 32 bits
        require_few_pixels(scanned([(1, 10**8)]), Evaluation(), (256,))
    require_few_pixels(Split(3, None, str), Evaluation(), (256,))  # of sizes that are not known nothing is said


def test_the_limit_is_that_of_the_test_itself(random):
    """For sizes at random: what is refused before the test is what the test refuses."""
    sizes = [(int(h), int(w)) for h, w in random.integers(20, 120, (12, 2))]
    pixels = [rescale(np.zeros((*size, 3), np.uint8), 37, "bilinear").shape[:2] for size in sizes]
    for size, (height, width) in zip(sizes, pixels, strict=True):
        require_few_pixels(scanned([size]), Evaluation(max_pixels=height * width), (37,))
        with pytest.raises(UserError, match=f"{height} x {width} pixels then"):
            require_few_pixels(scanned([size]), Evaluation(max_pixels=height * width - 1), (37,))


def test_another_backend_is_refused(monkeypatch):
    model, architecture = small()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    for protocol, grid in ((Dense, ()), (Crops, (5,))):
        with pytest.raises(UserError, match="run on Keras's tensorflow backend. Received: jax, of KERAS_BACKEND"):
            protocol(model, architecture, Evaluation(), *grid)
