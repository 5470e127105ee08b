"""What an epoch's line says of its training and its validation, from the sums of `steps`."""

import numpy as np

from vgg_keras.config import Architecture
from vgg_keras.evaluation.average_precision import average_precisions
from vgg_keras.evaluation.measures import percent
from vgg_keras.training import steps


def of_sums(sums: np.ndarray, prefix: str, architecture: Architecture) -> dict[str, float | None]:
    """The mean loss and the errors in percent, their names behind a prefix.

    Args:
        sums: (4,) float64, over images.
        prefix: "" or "val_".
        architecture: the net's.
    """
    images = sums[steps.IMAGES]
    found = {f"{prefix}loss": float(sums[steps.LOSS] / images)}
    top1 = float(100 * sums[steps.TOP1_WRONG] / images)
    if architecture.boxes != "none":
        return {**found, f"{prefix}top1_error": top1, f"{prefix}mean_iou": float(sums[steps.TOP5_WRONG] / images)}
    if architecture.multi_label:
        wrong = sums[steps.DECISIONS_WRONG] / max(sums[steps.DECISIONS], 1)
        return {**found, f"{prefix}hamming_loss": float(100 * wrong)}
    # with five classes or fewer every answer would be right
    top5 = float(100 * sums[steps.TOP5_WRONG] / images) if architecture.num_classes > 5 else None
    return {**found, f"{prefix}top1_error": top1, f"{prefix}top5_error": top5}


class Validation:
    """Adds up a validation's batches."""

    def __init__(self, architecture: Architecture):
        self._architecture = architecture
        self.sums = np.zeros(4)
        self._class_sums = np.zeros((architecture.num_classes, 2))
        self._rows: list[np.ndarray] = []  # of multi-label images: logits, labels, weight

    def add(self, sums: np.ndarray, of_classes: np.ndarray) -> None:
        """A batch's numbers, of `steps.validation_step`."""
        self.sums += sums
        if self._architecture.multi_label:
            self._rows.append(of_classes[of_classes[:, -1] > 0, :-1])
        elif self._architecture.boxes == "none":
            self._class_sums += of_classes

    def measures(self) -> dict[str, float | None]:
        """Loss and errors of the images; of a multi-label set their mean average precision too."""
        found = of_sums(self.sums, "val_", self._architecture)
        if self._architecture.boxes != "none":
            return found
        if self._architecture.multi_label:
            scores, labels = np.split(np.concatenate(self._rows), 2, axis=1)
            precisions = average_precisions(scores, labels)
            return {
                **found,
                "val_mean_average_precision": precisions.mean,
                "val_mean_average_precision_voc2007": precisions.mean_voc2007,
            }
        images, wrong = self._class_sums.T
        return {**found, "val_balanced_error": float(100 * np.mean(wrong[images > 0] / images[images > 0]))}


def error_of(line: dict) -> float:
    """The error that selects the net, from an epoch's line: top-1, or of a multi-label set 100 - mean average precision."""
    if "val_top1_error" in line:
        return line["val_top1_error"]
    return 100.0 - (line["val_mean_average_precision"] or 0.0)


def metric_of(line: dict, metric: str) -> float:
    """The value of `training.plateau_metric` in an epoch's line."""
    return error_of(line) if metric == "top1_error" else line[f"val_{metric}"]


def named(error: float, multi_label: bool, boxes: bool = False) -> str:
    """An error of `error_of` as text: `top-1 error 2.51 %`, `mAP 81.20 %`, or `box error 33.10 %`."""
    return f"mAP {percent(100 - error)}" if multi_label else f"{'box' if boxes else 'top-1'} error {percent(error)}"


def shown(line: dict, best: str) -> str:
    """An epoch's line for a person, behind its loss; `best` is the kept net's value as text."""
    if "hamming_loss" in line:
        precision = percent(line.get("val_mean_average_precision"))
        return f"Hamming loss {percent(line['hamming_loss']):>7}  validation mAP {precision:>7} ({best})"
    if "mean_iou" in line:
        wrong = percent(line.get("val_top1_error"))
        return f"box error {percent(line['top1_error']):>7}  validation {wrong:>7} ({best})"
    balanced = line.get("val_balanced_error")
    return (
        f"error {percent(line['top1_error']):>7}  validation {percent(line.get('val_top1_error')):>7} ({best}), "
        f"balanced {percent(balanced):>7}"
    )
