"""Configuration C on CIFAR-10, its images enlarged to 224: 40,000 train, 10,000 validate, 10,000 test after 50 epochs.

python -m vgg_keras.train --config=cifar10_c --workdir=runs/cifar10_c
python -m vgg_keras.train --config=cifar10_c --data=photos/ --workdir=runs/photos_c --dry_run

16 weight layers. With other --data than small squares: each image's smaller side becomes 224, and a random 224 crop is
taken. A folder with train/ and val/ is tested on its val/. A folder of class folders alone has no other images than those
that validate, so the final evaluation is on these.

The recipe follows code of others, its source. What differs:

- The source's decay is tensorflow-addons' and stays at 5e-4 while the plateau divides the rate. That class's documentation asks
  for one schedule on both: at the floor of 1e-5 the 1,250 steps of an epoch would shrink every kernel by 46 %, faster than
  gradients at that rate can counter. Here the decay follows the rate. At the first rate it is the source's, 10 times the
  paper's (docs/weight_decay.md).
- Keras's plateau callback, if the source used it, ignores a fall of less than 1e-4. Here any fall counts.
"""

from vgg_keras.config import Architecture, Config, Data, Evaluation, Training


def config() -> Config:
    return Config(
        architecture=Architecture("C", dropout=0.0),
        data=Data(
            source="cifar10",
            validation="held_out",
            holdout=0.2,
            batch=32,
            scale=(224,),  # the whole image is the crop
            flip=False,
            color_shift=0.0,
        ),
        training=Training(
            learning_rate=0.01,
            momentum=0.9,
            weight_decay=5e-4,
            epochs=50,
            plateau_metric="loss",
            plateau_patience=1,
            plateau_factor=0.1,
            plateau_divisions=3,  # from 1e-2 to the source's floor of 1e-5
            plateau_ends=False,
        ),
        evaluation=Evaluation(protocol="center", flip=False),
    )
