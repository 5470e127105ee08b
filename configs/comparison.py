"""Section 4's comparisons in small: any net of Table 1 at a quarter of its width on images of 32x32, in minutes on a CPU.

python -m vgg_keras.train --config=comparison --data=photos/ --set=architecture.name=A-LRN --set=seed=1 --workdir=runs/A-LRN-1
python -m vgg_keras.compare runs/*/low

docs/results.md has its results.

The rest is the paper's recipe, with S=36 for a crop of 32. These differ from it:

- Batch norm: with it all depths start from random weights within a few epochs.
- The batch and its rate.
- The rate is divided once, after a fixed number of epochs. In so few epochs a plateau is often chance, and its time decides more
  than the net does.
"""

from vgg_keras.config import Architecture, Config, Data, Evaluation, Stage, Training


def config() -> Config:
    return Config(
        architecture=Architecture("D", width=0.25, crop=32, batch_norm=True),
        data=Data(source="cifar10", batch=64, scale=(36,)),
        training=Training(
            learning_rate=0.02,
            weight_decay=1e-4,  # 5e-4 * rate / (1 - momentum), as in the default
            epochs=10,
            plateau_divisions=0,
            plateau_ends=False,
        ),
        stages=(Stage("high"), Stage("low", start="high", learning_rate=0.002)),
        # Of a 36x36 image the dense net sees one position, which is not in the middle.
        evaluation=Evaluation(protocol="center", batch=256),
    )
