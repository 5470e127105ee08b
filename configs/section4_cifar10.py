"""Section 4's depths in small: any net of Table 1 at a quarter of its width on CIFAR-10, without batch norm.

python -m vgg_keras.reproduce --suite=small --out=reports/small
python -m vgg_keras.train --config=section4_cifar10 --set=architecture.name=A --workdir=runs/A

Pilot runs decided it; docs/reproduce.md has the reasons. The rest is the paper's recipe, with S=36 for a crop of 32. The suite
starts B, C, D and E from net A (3.1). These differ from the paper:

- The schedule is fixed, half a cosine over 20 epochs, and the last net is kept: the images that test a net choose nothing.
- The batch is 64, so that 20 epochs have 15,640 updates.
- float32 on every machine, so that a run goes on elsewhere with the same bits.
"""

from vgg_keras.config import Architecture, Config, Data, Evaluation, Runtime, Training


def config() -> Config:
    return Config(
        architecture=Architecture("D", width=0.25, crop=32),
        data=Data(source="cifar10", batch=64, scale=(36,)),
        training=Training(learning_rate=0.01, epochs=20, schedule="cosine", validation_epochs=4, kept_net="last"),
        # Of a 36x36 image the dense net sees one position, which is not in the middle.
        evaluation=Evaluation(protocol="center", batch=256),
        runtime=Runtime(precision="float32"),
    )
