"""Class weights against scikit-learn's, and what is refused."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from vgg_keras.config import Config, Training
from vgg_keras.data.splits import Source, Split
from vgg_keras.errors import UserError
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.plain_values import from_dict, to_dict
from vgg_keras.training import class_weights

BALANCED = Training(class_weights=("balanced",))


def split_of(labels, classes="abcd"):
    return Split(len(labels), None, str, labels=labels, classes=tuple(classes))


def test_balanced_is_scikit_learns(random):
    labels = random.choice(4, 500, p=[0.7, 0.2, 0.09, 0.01]).astype(np.int32)
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    found = class_weights.of_classes(BALANCED, split_of(labels))
    print(f"weights {found}: largest difference {np.abs(found - expected).max():.2g}")
    assert np.abs(found - expected).max() < 1e-5 * expected.max()
    assert found[labels].mean() == pytest.approx(1, rel=1e-6)
    # of a class without images there is no weight, and the others are those of a set without it
    found = class_weights.of_classes(BALANCED, split_of(labels % 3, "abcd"))
    assert found[3] == 0
    assert np.allclose(found[:3], compute_class_weight("balanced", classes=np.arange(3), y=labels % 3))


def test_balanced_is_scikit_learns_for_each_class_of_a_multi_label_set(random):
    labels = (random.uniform(size=(300, 3)) < (0.5, 0.1, 0.02)).astype(np.int8)
    labels[:20, 1] = -1
    found = class_weights.of_classes(BALANCED, split_of(labels, "abc"))
    for place in range(3):
        counted = labels[labels[:, place] >= 0, place]
        assert np.allclose(found[:, place], compute_class_weight("balanced", classes=np.arange(2), y=counted))


def test_a_list_is_of_images_with_the_class(random):
    training = Training(class_weights=(1, 0.5, 2.0))
    assert class_weights.of_classes(training, split_of(np.arange(3, dtype=np.int32), "abc")).tolist() == [1, 0.5, 2]
    found = class_weights.of_classes(training, split_of(np.eye(3, dtype=np.int8), "abc"))
    assert found.tolist() == [[1, 1, 1], [1, 0.5, 2]]
    assert class_weights.of_classes(Training(), split_of(np.eye(3, dtype=np.int8), "abc")) is None


def test_the_field_takes_words_and_numbers_and_is_written_as_such():
    for text, value in (("none", ("none",)), ("balanced", ("balanced",)), ("1,0.5, 2", (1.0, 0.5, 2.0))):
        config = override(Config(), parse_assignments([f"training.class_weights={text}"]))
        assert config.training.class_weights == value
        assert from_dict(Config, to_dict(config)) == config
    assert from_dict(Training, {"class_weights": "balanced"}) == Training(class_weights="balanced") == BALANCED
    for text in ("nan,1", "inf,1"):
        with pytest.raises(UserError, match=r"class_weights must be a finite number or text\. Received: (nan|inf)"):
            override(Config(), parse_assignments([f"training.class_weights={text}"]))


@pytest.mark.parametrize(
    "wrong", [("ballanced",), ("none", "balanced"), (1.0, "balanced"), (-1.0, 2.0), (), (0.0, 0.0)]
)
def test_other_words_and_weights_are_refused(wrong):
    with pytest.raises(
        UserError, match=r"class_weights must be none, balanced, or a weight of 0 or more for each class"
    ):
        Training(class_weights=wrong)


def test_weights_of_another_number_of_classes_are_refused():
    labels = split_of(np.arange(4, dtype=np.int32))
    source = Source("photos", "", ("a", "b", "c", "d"), labels, labels)
    with pytest.raises(
        UserError, match=r"each of the 4 classes of the data, in this order: a, b, c, d\. Received: 2 weights"
    ):
        class_weights.require_possible(Training(class_weights=(1.0, 2.0)), source)
    class_weights.require_possible(BALANCED, source)
