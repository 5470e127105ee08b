"""A SavedModel's signatures beside the dense net: every size and batch, empty batches, and what is refused."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

import vgg_keras
from tests.data.awkward import bomb, rows, smooth, tiff, with_exif, written
from tests.data.awkward import png as png_file
from vgg_keras.config import Architecture, Config, Data, Evaluation, Export
from vgg_keras.data.decoding import decode
from vgg_keras.data.rescaling import rescale
from vgg_keras.errors import UserError
from vgg_keras.evaluation.prediction import predict_images
from vgg_keras.exports import saved_model
from vgg_keras.nets.dense import to_fully_convolutional
from vgg_keras.nets.feature_maps import descriptor_layer
from vgg_keras.nets.model import architecture_of

CROP, BATCH = 64, 3


def small(head="fc"):
    """A net whose probabilities differ from picture to picture."""
    fields = {"num_classes": 3, "crop": CROP, "width": 1 / 8, "mean": (120.0, 110.0, 100.0), "initializer": "he"}
    model = vgg_keras.build("A", dtype="float32", seed=3, head=head, **fields)
    kernel, bias = model.get_layer("predictions").get_weights()
    model.get_layer("predictions").set_weights([kernel / 50, bias])
    return model


def served(model, max_pixels=96 * 2000, features=""):
    config = Config(
        architecture=Architecture("A", num_classes=3, crop=CROP),
        data=Data(scale=(CROP,)),
        evaluation=Evaluation(scales=(64, 96), batch=BATCH, max_pixels=max_pixels),
        export=Export(features=features),
    )
    return saved_model.Served(model, config, ("cat", "dog", "owl"))


def pictures(random, count, height, width):
    coarse = random.uniform(0, 255, (count, 5, 7, 3))
    return tf.cast(tf.image.resize(coarse, (height, width)), tf.uint8).numpy()


@pytest.fixture(scope="module")
def traced():
    """A net with FC layers and its SavedModel's module, whose functions are traced once for all tests of it."""
    model = small()
    return model, served(model)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["fc", "gap"])
def test_every_size_and_batch_gives_what_the_dense_net_gives_at_once(head, traced, random):
    """The truth is one convolutional net over whole images; the SavedModel cuts them into tiles and batches into groups."""
    model = traced[0] if head == "fc" else small(head)
    module, dense = traced[1] if head == "fc" else served(model), to_fully_convolutional(model)
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


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["fc1", "block5_pool", "relu3_2", "block1_pool"])
def test_features_are_the_map_of_any_layer(layer, random):
    """Images of 900 pixels go through the net in tiles."""
    model = small()
    module, name = served(model, features=layer), descriptor_layer(architecture_of(model), layer)
    dense = to_fully_convolutional(model)
    maps = keras.Model(dense.input, dense.get_layer(name if "pool" in name else f"{name}_relu").output)
    for count, height, width in ((4, 64, 64), (1, 70, 900), (1, 900, 70)):
        images = pictures(random, count, height, width)
        wanted = np.asarray(
            maps(np.stack([rescale(image, 64, "bilinear").numpy() for image in images]), training=False)
        )
        found = module.features(tf.constant(images))["features"].numpy()
        difference = np.abs(found - wanted).max() / np.abs(wanted).max()
        print(f"{layer} {images.shape}: largest relative difference {difference:.2g}")
        assert found.shape == wanted.shape and difference <= 1e-5


def test_features_of_a_layer_that_the_net_lacks_are_refused():
    with pytest.raises(UserError, match="Received: 'block3_conv9'. Did you mean 'block3_conv"):
        served(small(), features="block3_conv9")


@pytest.fixture(scope="module")
def loaded(exported):
    """The exported folder of `net`, read once for all tests of it."""
    return tf.saved_model.load(str(exported("saved_model")[0]))


@pytest.mark.slow
def test_a_batch_of_no_images_gives_no_rows(loaded):
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


@pytest.mark.slow
def test_an_image_too_large_at_q_is_refused_before_it_is_rescaled(traced):
    """The largest of these would take 44 GB rescaled."""
    _, module = traced
    rule = r"An image rescaled to Q=64 must have evaluation\.max_pixels=192000 or fewer\. Received: "
    for height, width, received in (
        (1, 1000, r"64000 x 64 pixels then \(width x height\), 1000 x 1 as given"),
        (1000, 1, r"64 x 64000 pixels then \(width x height\), 1 x 1000 as given"),
        (1, 900_000, r"57600000 x 64 pixels then"),
    ):
        images = tf.zeros([1, height, width, 3], tf.uint8)
        for run in (module.serving_default, module.features):
            with pytest.raises(tf.errors.InvalidArgumentError, match=rule + received):
                run(images)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"encoded\[1\]: " + rule + received):
            module.encoded(tf.stack([png(64, 64), png(height, width)]))
    # within the limit at the first Q alone
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Q=96 must have .* Received: 2496 x 96 pixels then"):
        module.serving_default(tf.zeros([1, 2, 52, 3], tf.uint8))
    assert module.features(tf.zeros([1, 2, 52, 3], tf.uint8))["features"].shape == (1, 1, 51, 512)


@pytest.mark.slow
def test_an_image_without_pixels_and_a_file_that_is_none_are_named(traced):
    _, module = traced
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must have pixels\. Received: a side of 0"):
        module.serving_default(tf.zeros([2, 0, 10, 3], tf.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"encoded\[2\]: no JPEG, PNG, BMP, GIF or WebP file"):
        module.encoded(tf.stack([png(64, 64), png(1, 1), tf.constant("<html>")]))
    assert module.encoded(tf.stack([png(1, 1), png(64, 70)]))["probabilities"].shape == (2, 3)


@pytest.mark.slow
def test_an_exported_folder_answers_as_evaluate_and_predict_do(exported, loaded, net, photos):
    folder, (parity,) = exported("saved_model")
    print(
        f"SavedModel: largest difference from evaluate's dense test {parity.difference:.2g} of {parity.images} images"
    )
    assert parity.difference <= 1e-5 and parity.agreement == 1.0 and parity.images == 12
    (variables,) = (folder / "variables").glob("variables.data*")
    assert variables.stat().st_size < 1.1 * 4 * net.model.count_params()  # each weight once
    assert sorted(loaded.signatures) == ["encoded", "features", "serving_default"]

    # a batch of files of different sizes, and the same pictures as arrays of one size
    paths = sorted(photos.glob("val/*/*.jpg"))
    answer = loaded.signatures["encoded"](encoded=tf.constant([path.read_bytes() for path in paths]))
    expected = predict_images(net, paths, top=3)
    rows = {prediction.path: prediction for prediction in expected}
    for place, path in enumerate(paths):
        prediction = rows[str(path)]
        assert answer["class_name"].numpy()[place].decode() == prediction.classes[0]
        assert net.classes[answer["class_index"].numpy()[place]] == prediction.classes[0]
        probabilities = dict(zip(prediction.classes, prediction.probabilities, strict=True))
        assert np.abs(answer["probabilities"][place] - [probabilities[name] for name in net.classes]).max() <= 1e-5
    pixels = np.stack([decode(path.read_bytes()).numpy() for path in paths[::2]])
    served = loaded.signatures["serving_default"](images=tf.constant(pixels))["probabilities"].numpy()
    assert np.abs(served - answer["probabilities"].numpy()[::2]).max() <= 1e-5
    assert np.ptp(served, axis=0).max() > 1e-3

    # the map before the last layer, of which that layer makes the dense net's scores
    features = loaded.signatures["features"](images=tf.constant(pixels))["features"].numpy()
    dense = to_fully_convolutional(net.model)
    scores = dense.predict(np.stack([rescale(image, 40, "bilinear") for image in pixels]), verbose=0)
    kernel, bias = net.model.get_layer("predictions").get_weights()
    assert np.abs(features @ kernel + bias - scores).max() <= 1e-4 * np.abs(scores).max()


@pytest.mark.slow
def test_a_saved_model_shows_a_turned_photograph_upright_and_refuses_bombs(tmp_path, net, loaded):
    stored = decode(written(smooth(2, 48, 60), "JPEG")).numpy()
    (tmp_path / "turned.jpg").write_bytes(with_exif(written(smooth(2, 48, 60), "JPEG"), tiff(6)))
    (tmp_path / "upright.png").write_bytes(png_file(48, 60, 2, 8, rows(np.rot90(stored, -1))))
    (tmp_path / "stored.png").write_bytes(png_file(60, 48, 2, 8, rows(stored)))
    files = [tmp_path / name for name in ("turned.jpg", "upright.png", "stored.png")]
    as_stored = dataclasses.replace(net.config, data=dataclasses.replace(net.config.data, exif_orientation=False))
    module = saved_model.Served(net.model, as_stored, net.classes)
    for config, encoded, equal in ((net.config, loaded.signatures["encoded"], 1), (as_stored, module.encoded, 2)):
        served = encoded(encoded=tf.constant([path.read_bytes() for path in files]))["probabilities"].numpy()
        predicted = predict_images(net, files, config=config, top=3)
        named = [dict(zip(one.classes, one.probabilities, strict=True)) for one in predicted]
        assert np.abs(served - [[one[name] for name in net.classes] for one in named]).max() <= 1e-5
        assert np.abs(served[0] - served[equal]).max() <= 1e-6 < 1e-4 < np.abs(served[0] - served[3 - equal]).max()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"20000 x 20000 pixels, more than data\.max_pixels"):
        module.encoded(tf.constant([bomb()]))
