"""The final evaluation of a run (3.2): of its kept net, loaded from the run's files, into a folder of the run."""

from vgg_keras.data.splits import Source
from vgg_keras.evaluation import evaluator
from vgg_keras.evaluation.images import Images
from vgg_keras.evaluation.measures import percent, top5
from vgg_keras.evaluation.passes import MismatchError
from vgg_keras.evaluation.protocols import require_few_pixels
from vgg_keras.localization import evaluator as box_evaluator
from vgg_keras.locks import locked
from vgg_keras.runs import CONFIG, FINAL_EVALUATION, KERAS, MANIFEST, METRICS, TENSORBOARD, WEIGHTS, begun
from vgg_keras.training.loop import Job, Outcome
from vgg_keras.training.records import draw_learning_curve
from vgg_keras.training.stages import PlannedRun
from vgg_keras.weights.formats.run_folder import load_run


def require_possible(run: PlannedRun, source: Source) -> None:
    """Refuses before the first step what the final evaluation would refuse: an image too large, a disk without room."""
    if not run.evaluated:
        return
    config, split = run.config, source.split(source.final_split)
    remedy = "A run keeps its images." if begun(run.workdir) else "Or leave the image out."
    require_few_pixels(split, config.evaluation, config.test_scales, remedy)
    if not (run.workdir / FINAL_EVALUATION).exists() and not config.predicts_boxes:
        evaluator.require_room(run.workdir, split.size, len(source.classes), config.evaluation, config.test_scales)


def of_run(run: PlannedRun, job: Job, outcome: Outcome) -> dict:
    """The run's result, after a final evaluation where the plan has one; a learning curve is drawn in any case."""
    if run.evaluated:
        return evaluate(job, outcome)
    training = job.config.training
    curve = draw_learning_curve(job.workdir, f"{training.stage}: validation {outcome.text}", training)
    print(f"{training.stage}: {training.kept_net} of {outcome.epochs} epochs, validation {outcome.text}")
    print(f"  {curve}: loss and error over the epochs", flush=True)
    return outcome.result()


def evaluate(job: Job, outcome: Outcome) -> dict:
    """Evaluates the kept net, prints the errors and the path of every file, and returns the run's result."""
    config, source, folder = job.config, job.source, job.workdir
    result = _evaluate_kept(job)

    test = result["rows"][-1]
    described = f"{test['protocol']} test at Q={test['scales']}"
    net = f"{config.architecture.name} on {source.name}"
    measured = _measured(result, len(source.classes))
    title = f"{config.architecture.name}: {described}, {measured[0]}"
    curve = draw_learning_curve(folder, title, config.training)
    kept = f"{config.training.kept_net} of {outcome.epochs} epochs"
    print(f"{net}, {kept}: validation {outcome.text}")
    print(f"{described}: {', '.join(measured)}, {result['images']} images")
    for note in source.split(source.final_split).notes:  # such as of classes that the error does not count
        print(f"note: {note}")
    weights = f"the {config.training.kept_net} weights ({CONFIG} is the net, {MANIFEST} the digests, {KERAS} the same for Keras)"
    content_of_report = "the errors, and right and wrong boxes" if outcome.boxes else "the test, class by class"
    for path, content in (
        (folder / WEIGHTS, weights),
        (folder / METRICS, "a line per epoch"),
        (folder / FINAL_EVALUATION / "report.html", content_of_report),
        *([(curve, "loss and error over the epochs")] if curve else []),
        (folder / TENSORBOARD, f"tensorboard --logdir={folder}"),
    ):
        print(f"  {path}: {content}")
    kept_measures = ("mean_average_precision",) if outcome.multi_label else ("balanced_error",)
    kept_measures = ("mean_iou",) if outcome.boxes else kept_measures
    return {**outcome.result(), **{name: result[name] for name in ("top1_error", "top5_error", *kept_measures)}}


def _measured(result: dict, classes: int) -> list[str]:
    """What the result's measures are, as texts."""
    if "box_error" in result:
        trivial = f"the training set's mean box {percent(result['trivial_box_error'])}"
        return [f"box error {percent(result['box_error'])}", f"mean IoU {result['mean_iou']:.3f}", trivial]
    if result["top1_error"] is None:
        voc2007 = percent(result["mean_average_precision_voc2007"])
        return [f"mAP {percent(result['mean_average_precision'])}", f"VOC-2007 mAP {voc2007}"]
    return [
        f"top-1 error {percent(result['top1_error'])}",
        f"top-5 error {top5(result['top5_error'], classes)}",
        f"balanced error {percent(result['balanced_error'])}",
    ]


def _evaluate_kept(job: Job) -> dict:
    """On the test images if there are any, else on the validation images."""
    source, out = job.source, job.workdir / FINAL_EVALUATION
    net = load_run(job.workdir, dtype=job.precision)
    name, bad_images = source.final_split, tuple(str(image) for image in job.bad_images)
    images = Images(source.split(name), name, source.description, bad_images)
    evaluate = (box_evaluator if job.config.predicts_boxes else evaluator).evaluate
    with locked(out, "--workdir"):
        try:
            return evaluate(net, job.config, images, job.precision, out)
        except MismatchError:  # of an earlier net, or in another precision: the folder belongs to this evaluation
            for stale in out.glob("*.npz"):
                stale.unlink()
            return evaluate(net, job.config, images, job.precision, out)
