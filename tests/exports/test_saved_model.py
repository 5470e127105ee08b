"""A SavedModel's signatures beside the whole dense net: every size and batch, none at all, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

import vgg_keras
from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.data.rescaling import rescale
from vgg_keras.exports import saved_model
from vgg_keras.exports.tiles import TiledNet
from vgg_keras.nets.dense import to_fully_convolutional

CROP, BATCH = 64, 3


def small(head="fc"):
    """A net whose probabilities differ from picture to picture."""
    fields = {"num_classes": 3, "crop": CROP, "width": 1 / 8, "mean": (120.0, 110.0, 100.0), "initializer": "he"}
    model = vgg_keras.build("A", dtype="float32", seed=3, head=head, **fields)
    kernel, bias = model.get_layer("predictions").get_weights()
    model.get_layer("predictions").set_weights([kernel / 50, bias])
    return model


def served(model, max_pixels=96 * 2000):
    config = Config(
        architecture=Architecture("A", num_classes=3, crop=CROP),
        data=Data(scale=(CROP,)),
        evaluation=Evaluation(scales=(64, 96), batch=BATCH, max_pixels=max_pixels),
    )
    return saved_model.Served(model, config, ("cat", "dog", "owl"))


def pictures(random, count, height, width):
    coarse = random.uniform(0, 255, (count, 5, 7, 3))
    return tf.cast(tf.image.resize(coarse, (height, width)), tf.uint8).numpy()


@pytest.mark.parametrize("head", ["fc", "gap"])
def test_every_size_and_batch_gives_what_the_whole_dense_net_gives(head, random):
    """The truth is one convolutional net over whole images; the SavedModel cuts them into tiles and batches into groups."""
    model = small(head)
    module, dense = served(model), to_fully_convolutional(model)
    before_last = keras.Model(dense.input, dense.get_layer("predictions").input)
    for count, height, width in ((8, 64, 64), (2, 70, 900), (1, 900, 70), (5, 100, 130)):
        images = pictures(random, count, height, width)
        expected = 0
        for side in (64, 96):
            rescaled = np.stack([rescale(image, side, "bilinear").numpy() for image in images])
            for view in (rescaled, rescaled[:, :, ::-1]):
                scores = np.asarray(dense(view, training=False), np.float64)
                expected = expected + softmax(scores.mean(axis=(1, 2)), axis=-1) / 4
        found = module.serving_default(tf.constant(images))["probabilities"].numpy()
        print(f"{head} {images.shape}: largest difference of a probability {np.abs(found - expected).max():.2g}")
        assert np.abs(found - expected).max() <= 1e-6
        assert count == 1 or np.ptp(expected, axis=0).max() > 1e-2

        rescaled = np.stack([rescale(image, 64, "bilinear").numpy() for image in images])
        wanted = np.asarray(before_last(rescaled, training=False))
        features = module.features(tf.constant(images))["features"].numpy()
        assert features.shape == wanted.shape
        assert np.abs(features - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_no_more_pixels_than_a_batch_of_crops_go_through_the_net_at_once(random):
    """Whatever the image and the batch, but for the few positions that a tile overlaps its neighbours by."""
    module, sizes = served(small(), max_pixels=2**24), []
    convolutions = module._net._convolutions

    def recorded(images):
        shape = tf.ensure_shape(tf.numpy_function(lambda x: sizes.append(x) or x, [tf.shape(images)], tf.int32), [4])
        with tf.control_dependencies([shape]):
            return convolutions(tf.identity(images))

    module._net._convolutions = recorded
    module.serving_default(tf.constant(pictures(random, 40, 64, 64)))
    assert (
        len(sizes) == 40 + 3 * 40
    )  # an image and its mirror image: at Q=64 whole, at Q=96 in a tile for each position
    module.encoded(tf.stack([tf.io.encode_png(pictures(random, 1, 64, 4000)[0])]))
    least = 2 + 2 * module._net._halo  # positions, with the pixels past the last one
    assert max(np.prod(size[:3]) for size in sizes) <= max(BATCH * CROP**2, 2 * 96 * 32 * least)
    assert len(sizes) > 160 + 30  # the tiles of a strip of 4000 and of 6000 pixels


def test_a_batch_of_no_images_gives_no_rows(tmp_path, random):
    tf.saved_model.save(
        module := served(small()),
        str(tmp_path / "net"),
        signatures={
            name: getattr(module, name).get_concrete_function() for name in ("serving_default", "encoded", "features")
        },
    )
    loaded = tf.saved_model.load(str(tmp_path / "net"))
    answers = [loaded.signatures["encoded"](encoded=tf.zeros([0], tf.string))]
    for shape in ((0, 64, 80, 3), (0, 0, 0, 3)):
        answers.append(loaded.signatures["serving_default"](images=tf.zeros(shape, tf.uint8)))
        features = loaded.signatures["features"](images=tf.zeros(shape, tf.uint8))["features"]
        assert features.shape == (0, 1, 1, 512)
    for answer in answers:
        shapes = {name: tuple(value.shape) for name, value in answer.items()}
        assert shapes == {"probabilities": (0, 3), "class_index": (0,), "class_name": (0,)}


def png(height, width):
    return tf.io.encode_png(np.zeros((height, width, 3), np.uint8))


def test_an_image_too_large_at_q_is_refused_before_it_is_rescaled():
    """The largest of these would take 44 GB rescaled."""
    module = served(small())
    rule = r"An image rescaled to Q=64 must have evaluation\.max_pixels=192000 or fewer\. Received: "
    for height, width, received in (
        (1, 1000, r"64000 x 64 pixels then \(width x height\), 1000 x 1 as given"),
        (1000, 1, r"64 x 64000 pixels then \(width x height\), 1 x 1000 as given"),
        (1, 900_000, r"57600000 x 64 pixels then"),
    ):
        images = tf.zeros([1, height, width, 3], tf.uint8)
        for ask in (module.serving_default, module.features):
            with pytest.raises(tf.errors.InvalidArgumentError, match=rule + received):
                ask(images)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"encoded\[1\]: " + rule + received):
            module.encoded(tf.stack([png(64, 64), png(height, width)]))
    # within the limit at the first Q alone
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Q=96 must have .* Received: 2496 x 96 pixels then"):
        module.serving_default(tf.zeros([1, 2, 52, 3], tf.uint8))
    assert module.features(tf.zeros([1, 2, 52, 3], tf.uint8))["features"].shape == (1, 1, 51, 512)


def test_an_image_without_pixels_and_a_file_that_is_none_are_named():
    module = served(small())
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must have pixels\. Received: a side of 0"):
        module.serving_default(tf.zeros([2, 0, 10, 3], tf.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"encoded\[2\]: no JPEG, PNG, BMP, GIF or WebP file"):
        module.encoded(tf.stack([png(64, 64), png(1, 1), tf.constant("<html>")]))
    assert module.encoded(tf.stack([png(1, 1), png(64, 70)]))["probabilities"].shape == (2, 3)


def test_windows_of_several_maps_go_through_the_fc_layers_together(random):
    """More positions than one batch of windows holds, of maps whose ends fall inside of one."""
    model = small()
    tiled = TiledNet(model, Evaluation(batch=64))
    images = random.uniform(0, 255, (3, 32 * 11, 32 * 13, 3)).astype(np.float32)  # 10 x 12 positions each
    scores = np.asarray(to_fully_convolutional(model)(images, training=False), np.float64)
    assert scores.shape[1:3] == (10, 12)
    found = tiled.mean_logits(tiled.last_map(tf.constant(images))).numpy()
    assert np.abs(found - scores.mean(axis=(1, 2))).max() <= 1e-5 * np.abs(scores).max()
