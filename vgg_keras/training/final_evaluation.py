"""The final evaluation of a run (3.2): of its kept net, loaded from the run's files, into a folder of the run."""

from vgg_keras.data.splits import Source
from vgg_keras.evaluation import error_table, evaluator
from vgg_keras.evaluation.images import Images
from vgg_keras.evaluation.passes import MismatchError
from vgg_keras.evaluation.protocols import require_few_pixels
from vgg_keras.locks import locked
from vgg_keras.runs import CONFIG, FINAL_EVALUATION, KERAS, MANIFEST, METRICS, TENSORBOARD, WEIGHTS, begun
from vgg_keras.training.loop import Job, Outcome
from vgg_keras.training.records import draw_learning_curve, percent
from vgg_keras.training.stages import PlannedRun
from vgg_keras.weights.formats.run_folder import load_run


def require_possible(run: PlannedRun, source: Source) -> None:
    """Refuses before the first step what the final evaluation would refuse: an image too large, a disk without room."""
    if not run.evaluated:
        return
    config, split = run.config, source.split(source.final_split)
    remedy = "A run keeps its images." if begun(run.workdir) else "Or leave the image out."
    require_few_pixels(split, config.evaluation, config.test_scales, remedy)
    if not (run.workdir / FINAL_EVALUATION).exists():
        evaluator.require_room(run.workdir, split.size, len(source.classes), config.evaluation, config.test_scales)


def of_run(run: PlannedRun, job: Job, outcome: Outcome) -> dict:
    """The run's result, after a final evaluation where the plan has one; a learning curve is drawn in any case."""
    if run.evaluated:
        return evaluate(job, outcome)
    training = job.config.training
    error = percent(outcome.top1_error)
    curve = draw_learning_curve(job.workdir, f"{training.stage}: validation top-1 error {error}", training)
    print(f"{training.stage}: {training.kept_net} of {outcome.epochs} epochs, validation top-1 error {error}")
    print(f"  {curve}: loss and error over the epochs", flush=True)
    return outcome.result()


def evaluate(job: Job, outcome: Outcome) -> dict:
    """Evaluates the kept net, prints the errors and the path of every file, and returns the run's result."""
    config, source, folder = job.config, job.source, job.workdir
    result = _evaluate_kept(job)

    test = result["rows"][-1]
    described = f"{test['protocol']} test at Q={test['scales']}"
    net = f"{config.architecture.name} on {source.name}"
    title = f"{config.architecture.name}: {described}, top-1 error {percent(result['top1_error'])}"
    curve = draw_learning_curve(folder, title, config.training)
    kept = f"{config.training.kept_net} of {outcome.epochs} epochs"
    print(f"{net}, {kept}: validation top-1 error {percent(outcome.top1_error)}")
    top5 = error_table.top5(result["top5_error"], len(source.classes))
    print(f"{described}: top-1 error {percent(result['top1_error'])}, top-5 error {top5}, {result['images']} images")
    for note in source.split(source.final_split).notes:  # such as of classes that the error does not count
        print(f"note: {note}")
    weights = f"the {config.training.kept_net} weights ({CONFIG} is the net, {MANIFEST} the digests, {KERAS} the same for Keras)"
    for path, content in (
        (folder / WEIGHTS, weights),
        (folder / METRICS, "a line an epoch"),
        (folder / FINAL_EVALUATION / "report.html", "the test, class by class"),
        *([(curve, "loss and error over the epochs")] if curve else []),
        (folder / TENSORBOARD, f"tensorboard --logdir={folder}"),
    ):
        print(f"  {path}: {content}")
    return {**outcome.result(), "top1_error": result["top1_error"], "top5_error": result["top5_error"]}


def _evaluate_kept(job: Job) -> dict:
    """On the test images if there are any, else on the validation images."""
    source, out = job.source, job.workdir / FINAL_EVALUATION
    net = load_run(job.workdir, dtype=job.precision)
    name, bad_images = source.final_split, tuple(str(image) for image in job.bad_images)
    images = Images(source.split(name), name, source.description, bad_images)
    with locked(out, "--workdir"):
        try:
            return evaluator.evaluate(net, job.config, images, job.precision, out)
        except MismatchError:  # of an earlier net, or in another precision: the folder belongs to this evaluation
            for stale in out.glob("*.npz"):
                stale.unlink()
            return evaluator.evaluate(net, job.config, images, job.precision, out)
