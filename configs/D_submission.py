"""The ILSVRC submission's variant of D: as `D`, but S in [256, 512] fine-tunes the FC layers alone (4.5, Table 6).

16 weight layers, known as VGG-16.

python -m vgg_keras.train --config=D_submission --data=imagenet2012 --set=data.micro_batch=32 --workdir=runs/D_submission
"""

from vgg_keras.config import Architecture, Config, Stage


def config() -> Config:
    return Config(
        architecture=Architecture("D"),
        stages=(
            Stage("A", architecture="A"),
            Stage("S256", start="A"),
            Stage("S384", start="S256", scale=(384,), learning_rate=1e-3),
            # Table 6: only the FC layers are fine-tuned; from which net and at which rate is not stated
            Stage("jitter", start="S384", scale=(256, 512), learning_rate=1e-3, layers="fc"),
        ),
    )
