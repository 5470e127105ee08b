"""The datasets for `model.fit`: every image once a pass, passes that differ, and the same first pass for a seed."""

import keras
import numpy as np
import pytest

import vgg_keras

SMALL = {"crop": 32, "batch": 500, "scale": (32, 36), "flip": False}


def passes(dataset, count):
    return [list(dataset.as_numpy_iterator()) for _ in range(count)]


def test_a_pass_is_an_epoch_and_the_next_one_differs():
    dataset = vgg_keras.training_data("digits", **SMALL, seed=4)
    assert int(dataset.cardinality()) == 3
    assert not dataset.options().autotune.enabled  # as in the pipeline of `train`
    first, second = passes(dataset, 2)
    assert [len(labels) for _, labels in first] == [500, 500, 438]
    everything = [np.concatenate([labels for _, labels in one]) for one in (first, second)]
    assert np.array_equal(np.sort(everything[0]), np.sort(everything[1]))
    assert not np.array_equal(*everything)
    again = passes(vgg_keras.training_data("digits", **SMALL, seed=4), 1)[0]
    assert np.array_equal(first[0][0], again[0][0])
    other = passes(vgg_keras.training_data("digits", **SMALL, seed=5), 1)[0]
    assert not np.array_equal(first[0][1], other[0][1])


def test_validation_takes_every_image_once():
    batches = list(vgg_keras.validation_data("digits", crop=32, batch=100, scale=(32,)).as_numpy_iterator())
    assert [len(labels) for _, labels in batches] == [100, 100, 100, 59]
    assert batches[0][0].max() > 200 and batches[0][0].min() >= 0  # RGB, 0-255


def test_description_holds_what_build_needs():
    classes, mean = vgg_keras.describe_data("digits", crop=32)
    assert classes == tuple("0123456789")
    assert mean == pytest.approx((77.99,) * 3, abs=0.01)


def test_an_unknown_argument_names_the_nearest():
    with pytest.raises(vgg_keras.UserError, match=r"Received: 'bach'\. Did you mean 'batch'"):
        vgg_keras.training_data("digits", bach=3)
    with pytest.raises(vgg_keras.UserError, match=r"scale must be int values with commas between them\. Received: 36"):
        vgg_keras.validation_data("digits", crop=32, scale=36)
    assert vgg_keras.validation_data("digits", crop=32, scale=[36]) is not None
    with pytest.raises(vgg_keras.UserError, match=r"must be architecture\.crop \(64\) or more"):
        vgg_keras.training_data("digits", crop=64, scale=(32,))


@pytest.mark.slow
def test_fit_learns_from_them():
    model = vgg_keras.build("A", num_classes=10, crop=32, width=1 / 8, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(vgg_keras.SGDW(2.5e-5, 1e-2, 0.9), loss, metrics=["accuracy"], jit_compile=False)
    data = {**SMALL, "batch": 32}
    history = model.fit(
        vgg_keras.training_data("digits", **data),
        validation_data=vgg_keras.validation_data("digits", crop=32, scale=(32,)),
        epochs=6,
        shuffle=False,  # the pipeline has done it
        verbose=0,
    ).history
    print({name: np.round(values, 3).tolist() for name, values in history.items()})
    assert history["val_accuracy"][-1] > 0.6


@pytest.mark.parametrize("function", ["training_data", "validation_data", "describe_data"])
@pytest.mark.parametrize(
    ("arguments", "meant"),
    [({"batch_size": 8}, "'batch'"), ({"image_size": (32, 32)}, "crop=32"), ({"validation_split": 0.1}, "'holdout'")],
)
def test_arguments_by_their_names_elsewhere_are_named(function, arguments, meant):
    with pytest.raises(vgg_keras.UserError, match=f"Did you mean {meant}"):
        getattr(vgg_keras, function)("digits", **arguments)
