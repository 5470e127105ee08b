"""What the flags of `reproduce` refuse."""

import pytest

from tests.reproduction.fake_start import options_of
from vgg_keras.errors import UserError
from vgg_keras.reproduction.options import suite_of


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"suite": "smal"}, r"--suite takes small, smoke, imagenet\. Received: 'smal'\. Did you mean 'small'\?"),
        ({"only": ("table7",), "suite": "smoke"}, r"--only names tables of the suite\. Received: 'table7'\."),
        (
            {"data": ("tests",)},
            r"several sets: --data=cifar10=SOURCE and --data=photographs=SOURCE\. Received: --data=tests",
        ),
        ({"data": ("cifar10=./none",)}, r"'\./none', which is no folder.*--data=cifar10=SOURCE"),
        (
            {"suite": "smoke", "weights": ("imagenet",)},
            r"--weights belongs to --suite=imagenet\. Received: --suite=smoke",
        ),
        ({"suite": "imagenet", "weights": ("A=a.h5",)}, r"--weights gives nets of Tables 3 to 6.*Received: 'A'"),
        (
            {"suite": "imagenet", "weights": ("a.h5",)},
            r"--weights takes D=FILE, E=FILE or imagenet\. Received: 'a\.h5'",
        ),
        ({"settings": ("training.epochs=1",)}, r"design of a suite is fixed\. Received: --set=training\.epochs"),
        (
            {"settings": ("runtime.precision=float32",)},
            r"design of a suite is fixed\. Received: --set=runtime\.precision",
        ),
    ],
)
def test_flags_that_a_suite_does_not_take_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        suite_of(options_of("x", **{"suite": "small"} | flags))
