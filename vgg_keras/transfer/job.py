"""The command features from its flags to its results: descriptors, a linear SVM on them, the nearest images.

Imports no framework before the flags are right.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from vgg_keras import stop
from vgg_keras.config import FEATURES, TEST, Config, without_protocols
from vgg_keras.data.naming import require_source
from vgg_keras.errors import UserError
from vgg_keras.files import replacing
from vgg_keras.locks import locked
from vgg_keras.paths import printable
from vgg_keras.text_table import text_table

MAY_CHANGE = without_protocols(TEST, FEATURES)  # of a trained net's configuration; B runs the dense net
NEAREST = "nearest.jsonl"
CONTACT_SHEET = "nearest.png"


@dataclasses.dataclass(frozen=True)
class Options:
    """The flags of the command that are not fields of the configuration.

    Attributes:
        split: of the set: val, train, test or all.
        more_layers: whose values are kept too.
        classify: whether a linear SVM is trained and tested.
        others: features.npz files of other nets, stacked for the SVM.
        queries: photographs whose nearest images are found.
        top: how many of each.
    """

    split: str
    more_layers: tuple[str, ...]
    classify: bool
    others: tuple[Path, ...]
    queries: tuple[str, ...]
    top: int


def run(config: Config, open_net: Callable, out: Path, options: Options) -> None:
    """Writes descriptors, and what else the options name, to `out`.

    Args:
        config, open_net: of `open_model.resolve`.
        out: the folder.
        options: the other flags.

    Raises:
        UserError: a mistake in the net, the data or the folder.
        StoppedError: by SIGTERM or Ctrl-C, with everything saved.
    """
    require_source(config.data.source, config.data.data_dir)

    # ---- the net and the images
    stop.listen()
    from vgg_keras import runtime

    precision = runtime.one_device(config.runtime)
    from vgg_keras.evaluation import photographs, protocols
    from vgg_keras.transfer import classification, extraction

    with locked(out, "--out"):
        net, config = open_net(precision)
        layers = extraction.require_layers(net, config, options.more_layers)
        images, classes = extraction.open_images(config, options.split)
        print(images.line(precision), flush=True)
        # a bad one is refused before the passes
        queries = None
        if options.queries:
            queries = photographs.opened(options.queries, config.data, net.config.architecture.channels)
            for _, split in queries[1]:
                protocols.require_few_pixels(split, config.evaluation, config.test_scales)
        parts = classification.divisions(images, classes, config) if options.classify else []
        others = classification.open_others(options.others, images.split, classes, layers[0])

        # ---- the passes
        found = extraction.extract(net, config, images, classes, precision, out, layers)
        result = extraction.summary(found)
        print(f"{out / found.FILE}: {result['descriptors']}, {result['columns']:,} columns", flush=True)

        # ---- what is made of them
        if options.classify:
            stacked = classification.stack_nets(found, others)
            result |= classification.classify(stacked, parts, config, images.split, out)
            print(f"the whole report: {out}/report.html")
        if queries:
            result["nearest"] = _answer(net, layers[0], config, found, images.split, queries, options, out)
    print(json.dumps(result), flush=True)


def _answer(net, layer: str, config: Config, found, split, queries, options: Options, out: Path) -> list[dict]:
    """The nearest images of photographs: printed, as JSON lines, and as a contact sheet."""
    from vgg_keras.transfer import extraction, retrieval

    descriptors = extraction.of_photographs(net, layer, queries, config)
    answers = [retrieval.nearest(found, one, options.top) for one in descriptors]
    pairs = list(zip(options.queries, answers, strict=True))
    lines = [
        {"query": query, "nearest": [dataclasses.asdict(one) for one in neighbours]} for query, neighbours in pairs
    ]
    with replacing(out / NEAREST) as temporary:
        temporary.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    retrieval.draw(queries, answers, split, out / CONTACT_SHEET)
    for query, neighbours in pairs:
        rows = [[one.name, one.label, f"{one.cosine:.4f}"] for one in neighbours]
        print(text_table([[f"nearest to {printable(query)}", "class", "cosine"], *rows]))
    print(f"{out / CONTACT_SHEET}: the photographs with their nearest images")
    return lines


def require_possible(options: Options) -> None:
    """Refuses flags that belong to others, before TensorFlow starts.

    Raises:
        UserError: see the messages.
    """
    if options.others and not options.classify:
        raise UserError("--with stacks the descriptors of several nets for --classify. Received: it alone.")
    if options.others and options.queries:
        raise UserError("--query is answered by one net's descriptors. Received: --with beside it.")
    for path in options.others:
        if not path.is_file():
            raise UserError(f"--with takes features.npz files of other nets. Received: {path}, which is no file.")
    for path in options.queries:
        if not Path(path).is_file():
            raise UserError(f"--query takes photographs. Received: {path}, which is no file.")
