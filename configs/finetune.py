"""Fine-tuning of a trained net for a set of photographs of one's own: D behind a global average pooling, in three stages.

python -m vgg_keras.train --config=finetune --data=photos/ --weights=imagenet --workdir=runs/photos
python -m vgg_keras.train --config=finetune --data=photos/ --weights=vgg16_notop.h5 --workdir=runs/photos --dry_run

`new` trains the layers that the weights lack, `block5` those from block 5 on, `all` every layer, each at a rate of its own.
"""

from vgg_keras.config import Architecture, Config, Data, Stage, Training


def config() -> Config:
    return Config(
        architecture=Architecture("D", head="gap", crop=128),
        data=Data(batch=16, scale=(128, 192)),
        training=Training(optimizer="adam", learning_rate=1e-3, schedule="cosine"),
        stages=(
            Stage("new", layers="new", learning_rate=1e-3, epochs=1, schedule="constant", final_evaluation=False),
            Stage("block5", start="new", layers="block5", learning_rate=1e-4, epochs=2, final_evaluation=False),
            Stage("all", start="block5", layers="all", learning_rate=2e-5, epochs=1),
        ),
    )
