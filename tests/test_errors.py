"""What a message names in place of a word that is not known."""

import pytest

from vgg_keras.errors import nearest, nearest_configuration, unknown_argument


@pytest.mark.parametrize(
    ("received", "said"),
    [("trian", "Did you mean 'train'?"), ("xyz", "Known: evaluate, train."), ("evalute", "Did you mean 'evaluate'?")],
)
def test_the_nearest_word_or_all_of_them(received, said):
    assert nearest(received, ("train", "evaluate")) == said


@pytest.mark.parametrize(
    ("received", "said"),
    [
        ("VGG16", "Did you mean 'D'?"),
        ("vgg19_bn", "Did you mean 'E' with batch_norm=True?"),
        ("d", "Did you mean 'D'?"),
        ("resnet50", "Known: A, D, E."),
    ],
)
def test_other_packages_names_of_nets(received, said):
    assert nearest_configuration(received, ("A", "D", "E"), "batch_norm=True") == said


@pytest.mark.parametrize(
    ("received", "value", "said"),
    [
        ("input_shape", (64, 64, 3), "Did you mean crop=64? Inputs are square."),
        ("input_shape", (28, 28, 1), "Did you mean crop=28, channels=1? Inputs are square."),
        ("in_chans", 1, "Did you mean 'channels'?"),
        ("classes", 10, "Did you mean 'num_classes'?"),
        ("widht", 0.5, "Did you mean 'width'?"),
    ],
)
def test_an_argument_of_keras_applications_is_named_as_ours(received, value, said):
    error = unknown_argument("build", received, value, ["num_classes", "crop", "channels", "width"])
    assert str(error) == f"build takes arguments that it knows. Received: {received}=... {said}"
