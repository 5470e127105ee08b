"""3.1: a net that starts from another one's weights, layer by layer."""

from dataclasses import dataclass

import keras

from vgg_keras.config import Config
from vgg_keras.errors import UserError
from vgg_keras.weights.formats.run_folder import LoadedModel

# "the first four convolutional layers and the last three fully-connected layers" of net A. By position the shapes would
# clash (A's second convolution is 64->128, E's 64->64), so A's first four go to the layers of the same block and place.
FROM_A = ("block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2", "fc1", "fc2", "predictions")


@dataclass(frozen=True)
class Transfer:
    """Layers with weights, by name: those that took the other net's, and those that kept their own."""

    copied: tuple[str, ...]
    left: tuple[str, ...]


def transfer(source: LoadedModel, target: keras.Model, config: Config) -> Transfer:
    """Copies weights by the layers' names: all of them into the same net, else what the paper takes from net A.

    Batch norm's variables go with their convolution's.

    Args:
        source: the net that is started from.
        target: of `vgg_keras.build`.
        config: the target's.

    Raises:
        UserError: a layer to copy is not in both nets, or its shapes differ; the target is as it was then.
    """
    same_net = source.config.architecture.name == config.architecture.name
    theirs = {layer.name: layer for layer in source.model.layers if layer.weights}
    ours = {layer.name: layer for layer in target.layers if layer.weights}
    wanted = dict.fromkeys([*ours, *theirs])
    names = [name for name in wanted if same_net or name.removesuffix("_bn") in FROM_A]
    for name in names:
        if name not in theirs or name not in ours:
            raise UserError(
                f"A net starts from one with the same layers. Received: {source.path}, where {name} is "
                f"{'more' if name in theirs else 'missing'}. Head and batch norm must be alike."
            )
    for name in names:
        shapes = [[tuple(weight.shape) for weight in layers[name].weights] for layers in (theirs, ours)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"A net starts from one whose layers have the same shapes. Received: {source.path}, whose {name} has "
                f"{shapes[0]}, not {shapes[1]}. Width, crop and classes must be alike."
            )
    for name in names:
        ours[name].set_weights(theirs[name].get_weights())
    return Transfer(tuple(names), tuple(name for name in ours if name not in names))
