"""Section 4's scales, crops and fusion in small: photographs larger than the crop, at half of the paper's sides.

python -m vgg_keras.reproduce --suite=small --only=table5 --out=reports/small
python -m vgg_keras.train --config=section4_photographs --data=flowers17 --set=architecture.name=A --workdir=runs/A

docs/reproduce.md has the reasons. The rest is the paper's recipe, with a crop of 112 and S of 128, 192 and [128, 256]: at these
sides the dense net has 2x2, 4x4 and 6x6 positions, all in the image. These differ from it:

- A quarter of the width.
- The schedule is fixed, half a cosine, and the last net is kept: the images that test a net choose nothing.
- The batch is 16 and its rate 5e-3, so that 1,088 images make 68 updates per epoch. A has 60 epochs; the suite gives C, D and E
  120, since with 60 E learns its training images less well than A.
- float32 on every machine, so that a run goes on elsewhere with the same bits.
"""

from vgg_keras.config import Architecture, Config, Data, Evaluation, Runtime, Training


def config() -> Config:
    return Config(
        architecture=Architecture("D", width=0.25, crop=112),
        data=Data(source="flowers17", batch=16, scale=(128,)),
        training=Training(
            learning_rate=5e-3,
            weight_decay=2.5e-5,  # 5e-4 * rate / (1 - momentum), as in the default
            epochs=60,
            schedule="cosine",
            validation_epochs=10,
            kept_net="last",
        ),
        evaluation=Evaluation(protocol="dense"),
        runtime=Runtime(precision="float32"),
    )
