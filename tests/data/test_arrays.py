"""Images in memory as a data set: what Keras users hold, in other channels too, and what is refused."""

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import vgg_keras
from tests.conftest import write_images
from vgg_keras.data.arrays import _of_dataset

PLAIN = {"crop": 32, "scale": (32,), "flip": False, "color_shift": 0.0, "batch": 4}


def images(random, *shape):
    return random.integers(0, 256, shape, np.uint8)


def all_of(dataset):
    """The images by label, since training shuffles them."""
    pairs = [
        (label, image)
        for batch, labels in dataset.as_numpy_iterator()
        for image, label in zip(batch, labels, strict=True)
    ]
    return {int(label): image for label, image in pairs}


@pytest.fixture
def random():
    return np.random.default_rng(7)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3, 4, 7])
def test_pixels_and_labels_are_the_arrays_own(random, channels):
    """At S = crop = side no pixel is resampled; of several sizes each is its centre crop."""
    pixels, labels = images(random, 6, 32, 32, channels), np.array([5, 3, 1, 0, 2, 4])
    forms = [(pixels, labels)]
    if channels == 3:
        forms += [((pixels, labels),), (tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(4),)]
    for given in forms:
        for make in (vgg_keras.training_data, vgg_keras.validation_data):
            found = all_of(make(*given, channels=channels, **PLAIN))
            worst = max(np.abs(found[label] - image).max() for label, image in zip(labels, pixels, strict=True))
            assert worst == 0 and sorted(found) == list(range(6))
    classes, mean = vgg_keras.describe_data(pixels, labels, channels=channels, crop=32)
    difference = np.abs(np.array(mean) - pixels.reshape(-1, channels).mean(axis=0)).max()
    print(f"mean of {channels} channels: largest difference {difference:.1e}")
    assert difference < 1e-9 and classes == tuple("012345")


def test_grey_is_read_in_rgb_and_rgb_in_grey(random):
    grey = images(random, 3, 32, 32)
    found = all_of(vgg_keras.validation_data(grey, [0, 1, 2], **PLAIN))
    assert all(np.array_equal(found[n], np.repeat(grey[n][..., None], 3, axis=-1)) for n in range(3))
    colours = images(random, 3, 32, 32, 3)
    found = all_of(vgg_keras.validation_data(colours, [0, 1, 2], channels=1, **PLAIN))
    assert all(
        np.array_equal(found[n][..., 0], np.asarray(PIL.Image.fromarray(colours[n]).convert("L"))) for n in range(3)
    )


@pytest.mark.parametrize(
    ("shape", "labels"),
    [
        ((5, 32, 40), [3, 1, 0, 2, 4]),
        ((5, 32, 8), [1, 0, 1, 1, 0]),
        ((5, 32, 40), [0, 1, 0, 0, 0]),
        ((5, 32, 9), np.eye(5, dtype=int)),
    ],
)
def test_a_batch_of_grey_images_is_one_whatever_its_labels_are(random, shape, labels):
    """Without the channel's axis a batch looks as an image does. The last one is not full, or a single image."""
    pixels = images(random, *shape)
    for batch in (1, 4, 5):
        found, of_found = _of_dataset(tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(batch))
        assert np.array_equal(np.stack(found)[..., 0], pixels) and np.array_equal(of_found, labels)


@pytest.mark.parametrize(
    ("shape", "labels"),
    [((5, 9, 8, 3), np.eye(9, dtype=int)[:5]), ((5, 9, 8, 13), np.eye(9, dtype=int)[:5]), ((5, 9, 8), [[1]] * 5)],
)
def test_images_one_by_one_are_no_batches(random, shape, labels):
    """Nor where a one-hot label is as long as the image is high."""
    pixels = images(random, *shape)
    found, of_found = _of_dataset(tf.data.Dataset.from_tensor_slices((pixels, labels)))
    assert np.array_equal(np.stack(found).reshape(shape), pixels) and np.array_equal(of_found, labels)


@pytest.mark.parametrize(
    "labels",
    [
        *(np.array([[1], [0], [2]]), np.eye(3)[[1, 0, 2]], ["b", "a", "c"], np.array([1, 0, 2], np.uint8)),
        np.array([[1.0], [0.0], [2.0]], np.float32),
    ],
)
def test_labels_as_people_hold_them(random, labels):
    pixels = images(random, 3, 32, 32, 3)
    given = {"classes": list("abc")} if isinstance(labels, list) else {}
    found = all_of(vgg_keras.validation_data(pixels.astype(np.float32), labels, **given, **PLAIN))
    assert all(np.array_equal(found[label], pixels[place]) for place, label in enumerate((1, 0, 2)))


@pytest.mark.parametrize("mode", ["int", "categorical"])
def test_a_dataset_of_class_folders_has_their_names(tmp_path, mode):
    for name in ("tulip", "iris"):
        write_images(tmp_path / name, [(32, 32)] * 2)
    folders = keras.utils.image_dataset_from_directory(
        tmp_path, image_size=(32, 32), label_mode=mode, class_names=["tulip", "iris"], verbose=False
    )
    assert vgg_keras.describe_data(folders, crop=32)[0] == ("tulip", "iris")
    assert vgg_keras.describe_data(folders, crop=32, classes=["a", "b"])[0] == ("a", "b")


def test_labels_that_are_names_have_the_numbers_of_the_training_images_classes(random):
    """Images that lack a class would number the others in their own order."""
    pixels = images(random, 2, 32, 32, 3)
    classes, _ = vgg_keras.describe_data(images(random, 3, 32, 32, 3), ["cat", "ant", "dog"], crop=32)
    found = all_of(vgg_keras.validation_data(pixels, ["dog", "cat"], classes=classes, **PLAIN))
    assert np.array_equal(found[2], pixels[0]) and np.array_equal(found[1], pixels[1])
    for given, message in (({}, r"Received: none\. Give classes="), ({"classes": ["ant", "do"]}, "image 0 with 'dog'")):
        with pytest.raises(vgg_keras.UserError, match=message):
            vgg_keras.validation_data(pixels, ["dog", "cat"], **given, **PLAIN)
    held_out = {**PLAIN, "validation": "held_out", "holdout": 0.5}
    ((_, numbers),) = vgg_keras.validation_data(pixels, ["dog", "dog"], **held_out).as_numpy_iterator()
    assert numbers.tolist() == [0]
    with pytest.raises(vgg_keras.UserError, match="classes beside images in memory"):
        vgg_keras.validation_data("digits", classes=classes, **PLAIN)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_nearly_black_image_of_a_dataset_is_one_in_0_to_255(random, batch):
    """Floats, as of tf.image.resize: whether they are in 0-1 is known of all images together."""
    pixels = images(random, 4, 8, 9, 3).astype(np.float32)
    pixels[0] = 0.4
    found, _ = _of_dataset(tf.data.Dataset.from_tensor_slices((pixels, range(4))).batch(batch))
    assert not found[0].any() and np.array_equal(np.stack(found[1:]), pixels[1:])
    with pytest.raises(vgg_keras.UserError, match=r"values from 0 to 1\. Multiply them by 255"):
        _of_dataset(tf.data.Dataset.from_tensor_slices((np.array([[0, 0.5], [1, 1]])[..., None, None], [0, 1])))


def test_labels_of_a_comparison_are_two_classes(random):
    assert vgg_keras.describe_data(images(random, 3, 8, 8, 3), np.array([7, 1, 7]) == 7, crop=32)[0] == ("0", "1")


@pytest.mark.parametrize("labels", [["dog", "ant", "dog"], np.array([[2], [0], [2]]), np.eye(3)[[2, 0, 2]]])
def test_classes_number_labels_of_which_some_are_not_there(random, labels):
    """Without them the names of two of three classes are 0 and 1, and a validation would compare them with the wrong logits."""
    pixels, classes = images(random, 3, 32, 32, 3), ("ant", "cat", "dog")
    for make in (vgg_keras.training_data, vgg_keras.validation_data):
        ((_, numbers),) = make(pixels, labels, classes=classes, **PLAIN).as_numpy_iterator()
        assert sorted(numbers) == [0, 2, 2]
    assert vgg_keras.describe_data(pixels, labels, classes=list(classes), crop=32)[0] == classes


def test_several_labels_an_image_are_rows_of_0_and_1(random):
    labels = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]])
    ((_, rows),) = vgg_keras.validation_data(images(random, 3, 32, 32, 3), labels, **PLAIN).as_numpy_iterator()
    assert rows.dtype == np.float32 and np.array_equal(rows, labels)


@pytest.mark.slow
@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_a_share_is_held_out_where_it_is_asked_for(random, several):
    """Of each class, also where the array has its classes in turn: of the whole set every fourth image would be one class."""
    labels, data = np.arange(16) % 4, {**PLAIN, "validation": "held_out", "holdout": 0.25}
    pixels, given = images(random, 16, 32, 32, 3), np.eye(4)[labels] + np.eye(4)[::-1][labels] if several else labels
    validate, train = (
        [
            int(np.abs(pixels - image).max(axis=(1, 2, 3)).argmin())
            for batch, _ in make(pixels, given, **data)
            for image in batch
        ]
        for make in (vgg_keras.validation_data, vgg_keras.training_data)
    )
    assert sorted(validate) == ([3, 7, 11, 15] if several else [12, 13, 14, 15])
    assert sorted(validate + train) == list(range(16))


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 1, 2] * 4])
def test_too_few_images_to_hold_one_out_are_refused(random, labels):
    message = r"class needs 5 images to hold one out .* Received: arrays, where none has so many\. Name a larger share"
    with pytest.raises(vgg_keras.UserError, match=message):
        vgg_keras.validation_data(images(random, len(labels), 32, 32, 3), labels, crop=32, validation="held_out")


def test_labels_beside_a_dataset_are_refused(random):
    """Those of the dataset would be trained, and these be ignored in silence."""
    dataset = tf.data.Dataset.from_tensor_slices((images(random, 3, 32, 32, 3), [0, 1, 2]))
    with pytest.raises(vgg_keras.UserError, match=r"is of \(image, label\)\. Received: one, and labels beside it"):
        vgg_keras.training_data(dataset, [2, 1, 0], crop=32)


def test_a_share_alone_holds_nothing_out(random):
    """All images would train and the same ones validate: a `validation_split` of Keras is called so here."""
    for make in (vgg_keras.training_data, vgg_keras.validation_data, vgg_keras.describe_data):
        with pytest.raises(
            vgg_keras.UserError, match=r"Received: holdout=0\.2 alone\. Give validation='held_out' too\."
        ):
            make(images(random, 10, 32, 32, 3), np.arange(10) % 2, crop=32, holdout=0.2)


def test_other_arrays_are_measured_anew(random):
    for value in (10, 200):
        assert vgg_keras.describe_data(np.full((2, 32, 32, 3), value, np.uint8), [0, 1], crop=32)[1] == (value,) * 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((np.zeros((2, 32, 32, 3)) + 0.5, [0, 1]), r"values from 0\.5 to 0\.5\. Multiply them by 255"),
        ((np.eye(32)[np.newaxis].repeat(2, 0), [0, 1]), r"values from 0 to 1\. Multiply them by 255"),
        ((np.eye(32, dtype=np.uint8)[np.newaxis].repeat(2, 0), [0, 1]), r"values from 0 to 1\. Multiply them by 255"),
        ((np.full((2, 32, 32, 3), 300), [0, 1]), r"values from 300 to 300"),
        ((np.zeros((2, 32, 32, 3), np.uint8),), r"ndarray without labels"),
        ((np.zeros((2, 32, 32, 3), np.uint8), [0]), r"2 images and 1 labels"),
        ((np.zeros((2, 32, 32, 3), np.uint8), [0j, 1]), r"Labels are .*Received: shape \(2,\) of complex128"),
        ((np.zeros((2, 32, 32, 5), np.uint8), [0, 1]), r"5 of arrays of 5 channels\. Received: 3\. Give channels=5\.$"),
        ((np.zeros((2, 32, 32, 4), np.uint8), [0, 1]), r"Give channels=4, or leave alpha out: images\[\.\.\., :3\]\.$"),
        ((np.zeros((2, 32, 32, 3, 1), np.uint8), [0, 1]), r"shape \(2, 32, 32, 3, 1\)"),
        (
            (tf.data.Dataset.from_tensors((np.zeros((9, 9, 3), np.uint8), 1)).repeat(),),
            r"without end\. Leave repeat\(\) out",
        ),
        ((tf.data.Dataset.from_tensors((np.zeros((9, 9, 3), np.uint8), 1)).take(0),), r"a dataset without images\."),
        (((image for image in ()), [0, 1]), r"generator, which has no length\."),
        (
            (np.zeros((2, 32, 32, 3), np.uint8), ["cat", None]),
            r"Each image has a label\. Received: image 1 with None\.",
        ),
        (
            (np.zeros((2, 32, 32, 3), np.uint8), np.array([np.nan, "cat"], object)),
            r"Each image has a label\. Received: image 0 with nan\.",
        ),
        ((tf.data.Dataset.range(3),), r"Map it to \(image, label\)"),
        (
            ([np.zeros((2, 3, 3), np.uint8), np.zeros((4, 3, 3), np.uint8)], [0, 1]),
            r"images of several shapes\. Give .* as a tf\.data\.Dataset",
        ),
        ((np.zeros((2, 32, 32, 3), np.uint8), [[0], [0, 1]]), r"labels of several shapes\."),
        (("digits", [0, 1]), r"labels beside an array of images\. Received: digits"),
    ],
)
def test_what_is_no_set_is_refused_in_a_line(given, message):
    with pytest.raises(vgg_keras.UserError, match=message) as caught:
        vgg_keras.training_data(*given, crop=32)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (["cat", "dg"], ("cat", "dog"), r"one of the classes\. Received: image 1 with 'dg'\. Did you mean 'dog'"),
        ([0, 2], ("a", "b"), r"one of the 2 classes, 0 to 1\. Received: image 1 with 2\."),
        (np.eye(2), ("a", "b", "c"), r"one of the 3 classes\. Received: labels of 2"),
        (np.eye(2), "abc", r"classes must be a list of names\. Received: str 'abc'"),
        (np.eye(2), 2, r"classes must be a list of names\. Received: int 2"),
        (["a", "b"], {"b": 0, "a": 1}, r"classes must be a list of names\. Received: dict {'b'"),
        (["a", "b"], {"a"}, r"classes must be a list of names\. Received: set {'a'}"),
        (np.eye(2), ["a", "a"], r"different names\. Received: \['a', 'a'\]"),
        (None, range(10), r"classes beside images in memory: .* Received: digits and classes"),
    ],
)
def test_classes_that_cannot_be_are_refused_in_a_line(labels, classes, message):
    source = "digits" if labels is None else np.zeros((2, 32, 32, 3), np.uint8)
    with pytest.raises(vgg_keras.UserError, match=message) as caught:
        vgg_keras.validation_data(source, labels, crop=32, classes=classes)
    assert "\n" not in str(caught.value)


def test_files_have_one_three_or_four_channels():
    with pytest.raises(vgg_keras.UserError, match=r"1, 3, 4 of image files\. Received: 5"):
        vgg_keras.training_data("digits", crop=32, channels=5)


@pytest.mark.slow
def test_fit_learns_from_arrays(random):
    """Two classes, dark and bright in the last of five channels."""
    channels = 5
    pixels, labels = images(random, 32, 32, 32, channels) // 4, np.arange(32) % 2
    pixels[labels == 1, ..., -1] += 150
    data = {"crop": 32, "batch": 8, "channels": channels}
    _, mean = vgg_keras.describe_data(pixels, labels, crop=32, channels=channels)
    model = vgg_keras.build("A", num_classes=2, crop=32, width=1 / 16, mean=mean, channels=channels, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(vgg_keras.SGDW(2.5e-5, 1e-2, 0.9), loss, metrics=["accuracy"], jit_compile=False)
    model.fit(vgg_keras.training_data(pixels, labels, **data), epochs=15, shuffle=False, verbose=0)
    accuracy = model.evaluate(vgg_keras.validation_data(pixels, labels, **data), verbose=0)[1]
    print(f"accuracy of {channels} channels: {accuracy:.2f}")
    assert accuracy > 0.9
