"""The ILSVRC submission's variant of D: as `D`, but S in [256, 512] fine-tunes the FC layers alone (4.4, Table 6).

16 weight layers, known as VGG-16.

python -m vgg_keras.train --config=D_submission --data=imagenet2012 --set=data.micro_batch=32 --workdir=runs/D_submission
"""

from vgg_keras.config import Architecture, Config, paper_chain


def config() -> Config:
    # Table 6: only the FC layers are fine-tuned; from which net and at which rate is not stated
    return Config(architecture=Architecture("D"), stages=paper_chain(last_layers="fc"))
