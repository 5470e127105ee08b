"""Which net of Table 1 a file holds, told by its layers' names and shapes."""

import dataclasses

from vgg_keras.config import CONFIGURATIONS, Architecture, UserError
from vgg_keras.weights.foreign import FIRST, TOP, Foreign, fit, outputs_of


def infer(source: Foreign) -> Architecture:
    """The architecture whose layers and shapes a file holds, with its classes and its mean.

    Raises:
        UserError: it holds none of Table 1, or no FC layers, so that the head is unknown.
    """
    problems = {}
    for name in CONFIGURATIONS:
        if (name == "A-LRN") != source.lrn:  # its weights are A's
            continue
        for batch_norm in (False, True):
            try:
                return _inferred(source, name, batch_norm)
            except UserError as error:
                same = set(source.names(Architecture(name, batch_norm=batch_norm)).values()) == set(source.tensors)
                if same not in problems or str(problems[same]).startswith("Shapes"):  # C's names are D's
                    problems[same] = error
    if not any(source.names(Architecture("D"))[name] in source.tensors for name in TOP):
        raise UserError(
            f"A file without the FC layers needs a net that has a head of its own. Received: {source.path}. Give a model, or "
            "--config with --set=architecture.num_classes=..."
        )
    raise UserError(
        f"A file of weights holds a net of Table 1. Received: {source.path}, with the layers "
        f"{', '.join(list(source.tensors)[:6])}, ... {problems.get(True, '')}".rstrip()
    )


def _inferred(source: Foreign, name: str, batch_norm: bool) -> Architecture:
    architecture = Architecture(name, num_classes=1, batch_norm=batch_norm)
    named = source.names(architecture)

    def kernel(layer):
        if not source.tensors.get(named[layer]) or source.tensors[named[layer]][0].ndim < 2:
            raise UserError(f"{named[layer]} is missing")
        return source.tensors[named[layer]][0]

    positions = kernel("fc1").size // outputs_of(source, kernel("fc1")) // outputs_of(source, kernel("block5_conv1"))
    architecture = dataclasses.replace(
        architecture,
        width=outputs_of(source, kernel(FIRST)) / 64,
        crop=32 * max(1, round(positions**0.5)),
        num_classes=outputs_of(source, kernel("predictions")),
        mean=source.preprocessing.mean if source.preprocessing else (),
        activation=source.activation,
        **({} if source.negative_slope is None else {"negative_slope": source.negative_slope}),
    )
    fit(source, architecture)
    return architecture
