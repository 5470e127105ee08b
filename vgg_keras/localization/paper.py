"""Appendix A's Tables 8 and 9: the localisation errors that the paper prints, on ILSVRC-2014's 50,000 validation images."""

from collections.abc import Sequence
from dataclasses import dataclass

from vgg_keras.config import Localization
from vgg_keras.evaluation.paper import IMAGES, difference_from_paper
from vgg_keras.localization.predicted_boxes import LocalizingNet

RIGHT_ABOVE, ANSWERS = 0.5, 5  # A: the intersection over union, and the classes of which one must be right
# Table 8, S=256, the centre crop: by the kind of boxes and the fine-tuned layers. The error of the true class's box.
CENTER = {("scr", "fc"): 36.4, ("pcr", "fc"): 34.3, ("pcr", "all"): 33.1}
# Table 9, PCR with all layers: by S and Q of each net. The top-5 error.
DENSE = {
    ((256, (256,)),): 29.5,
    ((384, (384,)),): 28.2,
    ((384, (352, 384)),): 27.5,
    ((256, (256,)), (384, (352, 384))): 26.9,
}


@dataclass(frozen=True)
class Cell:
    """The paper's error in percent, of the true class's box in Table 8, among five answers in Table 9."""

    table: int
    error: float


def cell(nets: Sequence[LocalizingNet], images: int, rules: Localization) -> Cell | str:
    """The paper's cell for these evaluations, one or several of each net; where there is none, the reason.

    Args:
        nets: and how their boxes were found.
        images: how many.
        rules: by which a box is right.
    """
    for net in nets:
        if difference := difference_from_paper(net.architecture, name="D"):
            return difference
        if not (net.training_scale and net.trained_layers):
            return "S and the trained layers of these weights are not known: a run states them"
    if images != IMAGES:
        return f"{images:,} images, the paper's {IMAGES:,}"
    if rules.iou != RIGHT_ABOVE:
        return f"a box is right above an IoU of {rules.iou:g}, the paper's above {RIGHT_ABOVE:g}"
    if all(net.protocol == "center" for net in nets) and len(nets) == 1:
        (net,) = nets
        key = net.architecture.boxes, net.trained_layers
        if net.training_scale == net.scales == (256,) and key in CENTER and not net.flip:
            return Cell(8, CENTER[key])
    elif any(net.windows == "crops" for net in nets):
        return "each window by itself, the paper's of the whole image's map"
    elif all(net.protocol == "dense" and net.classifier_sha256 for net in nets):
        if rules.answers != ANSWERS:
            return f"{rules.answers} answers, the paper's {ANSWERS}"
        scales: dict[int, list[int]] = {}
        for net in nets:
            scales.setdefault(net.training_scale[0], []).extend(net.scales)
        key = tuple(sorted((scale, tuple(sorted(values))) for scale, values in scales.items()))
        pcr = all(net.architecture.boxes == "pcr" and net.trained_layers == "all" for net in nets)
        if pcr and key in DENSE:
            return Cell(9, DENSE[key])
    return "the paper prints none for these boxes, S, Q and test"
