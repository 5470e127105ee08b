"""What other packages call our configurations, fields, arguments and flags, so that a message can name ours."""

import re
from typing import Any

# field: other names of it
_FIELDS = {
    "architecture.num_classes": "classes n_classes nb_classes num_class num_labels n_labels",
    "architecture.width": "width_multiplier width_mult alpha",
    "architecture.crop": (
        "input_shape input_size image_size img_size image_shape target_size crop_size input_tensor size side resolution shape"
    ),
    "architecture.channels": "in_channels in_chans n_channels num_channels input_channels",
    "architecture.head": "pooling include_top global_pool top",
    "architecture.fc_units": "pooling_hidden_dim hidden_units hidden_dim dense_units fc_dim",
    "architecture.fc_layers": "num_fc_layers n_fc fc_depth",
    "architecture.dropout": "dropout_rate drop_rate drop",
    "architecture.batch_norm": "bn batchnorm batch_normalization use_batch_norm use_bn norm",
    "architecture.initializer": "kernel_initializer init init_weights",
    "data.source": "dataset directory root path",
    "data.batch": "batch_size batchsize bs",
    "data.micro_batch": "micro_batch_size accumulation_steps gradient_accumulation_steps",
    "data.scale": "resize resize_size smallest_side rescale",
    "data.holdout": "validation_split val_split test_size",
    "data.flip": "horizontal_flip hflip mirror random_flip",
    "data.color_shift": "color_jitter colour_shift pca_shift",
    "training.learning_rate": "lr rate base_lr initial_learning_rate",
    "training.weight_decay": "wd decay",
    "training.momentum": "beta beta_1",
    "training.epochs": "num_epochs n_epochs max_epochs epoch",
    "training.plateau_patience": "patience",
    "training.plateau_factor": "lr_decay gamma factor",
    "evaluation.batch": "val_batch_size eval_batch_size test_batch_size",
    "runtime.precision": "amp fp16 bf16 mixed_precision",
    "runtime.strategy": "gpus num_gpus devices distributed",
    "seed": "random_seed manual_seed random_state",
}
_FLAGS = {
    "config": "arch architecture net model_name",
    "data": "dataset data_set",
    "model": "checkpoint ckpt",
    "out": "output output_dir out_dir",
    "weights": "pretrained",
    "workdir": "output output_dir out_dir log_dir logdir save_dir run_dir resume checkpoint ckpt",
}
FIELDS = {name: field for field, names in _FIELDS.items() for name in names.split()}

_DEPTHS = {"11": "A", "13": "B", "16": "D", "19": "E"}  # weight layers, by which most packages call the nets


def plain(name: str) -> str:
    """A name without case and with one kind of separator."""
    return re.sub(r"[-_ .]+", "_", name.strip().lower())


def flags_of(name: str) -> list[str]:
    """Our flags that another name may mean."""
    return [flag for flag, names in _FLAGS.items() if plain(name) in names.split()]


def configuration(name: str) -> tuple[str, bool] | None:
    """The configuration of Table 1 that a name such as VGG16 or vgg19_bn means, and whether with batch normalisation."""
    found = re.fullmatch(r"(?:vgg)?(?:_?net)?_?(11|13|16|19)(_?bn|_batch_?norm)?(?:_?layers)?", plain(name))
    return (_DEPTHS[found[1]], bool(found[2])) if found else None


def input_of(shape: Any) -> dict[str, int]:
    """Our `crop`, and `channels` but for RGB, of a shape such as (96, 96, 3) or (1, 28, 28); empty where it is not square."""
    sizes = [shape] * 2 if isinstance(shape, int) else shape if isinstance(shape, tuple | list) else []
    sizes = [size for size in sizes if isinstance(size, int)]
    sides = [size for size in set(sizes) if sizes.count(size) == 2]
    if len(sizes) not in (2, 3) or len(sides) != 1:
        return {}
    channels = [size for size in sizes if size not in (*sides, 3)]
    return {"crop": sides[0], **({"channels": channels[0]} if channels else {})}
