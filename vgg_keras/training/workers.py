"""The processes of one run: which of them writes, and how they agree. A run on one machine has one."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import tensorflow as tf

from vgg_keras.cluster import Cluster
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.exit_status import is_mistake

Result = TypeVar("Result")

# How TensorFlow reports a lost worker, in the middle of a collective operation. Other errors are of the same types.
_GONE = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)
_WORDS = ("Collective ops is aborted", "remote target", "CoordinationService")


class Workers:
    """The workers of a strategy.

    Its methods are collective operations: all workers call them, in the same order.

    Attributes:
        rank: of this process.
        count: of all.
        chief: whether this process writes and prints.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy, self._cluster = strategy, None
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            addresses = resolver.cluster_spec().as_dict()["worker"]
            self._cluster = Cluster(tuple(addresses), resolver.task_id)
        self.rank = self._cluster.rank if self._cluster else 0
        self.count = len(self._cluster.addresses) if self._cluster else 1
        self.chief = self.rank == 0

    def any(self, *conditions: bool) -> tuple[bool, ...]:
        """For each condition, whether it holds on any worker."""
        if self.count == 1:
            return conditions
        return tuple(bool(count) for count in self._sum(tf.cast(tf.stack(conditions), tf.float32)).numpy())

    def all_equal(self, number: int) -> bool:
        """Whether the number is the same on all workers."""
        mine = tf.one_hot(self.rank, self.count, dtype=tf.float64) * number
        return self.count == 1 or len(set(self._sum(mine).numpy())) == 1

    def chief_only(self, work: Callable[[], Result]) -> Result | None:
        """The result of `work` on the chief, and None on the others, which wait for its end.

        Raises:
            StoppedError, UserError, OSError: on all workers, if the chief was stopped or found a user's mistake, such as a file
                that it may not read. Else the others would report the chief as lost, and be started again with the same mistake.
        """
        return self._ended_together(work if self.chief else lambda: None)

    def chief_first(self, work: Callable[[], Result]) -> Result:
        """The result of `work` on each; the others begin when the chief has finished, so that they find its files.

        Raises:
            StoppedError, UserError, OSError: as in `chief_only`, of any worker.
        """
        result = self.chief_only(work)
        of_others = self._ended_together((lambda: None) if self.chief else work)
        return result if self.chief else of_others

    def _ended_together(self, work: Callable[[], Result]) -> Result:
        """The result of `work`, or the end of a worker on all of them."""
        result, end = None, None
        try:
            result = work()
        except (StoppedError, UserError, OSError) as error:
            end = error
            if not isinstance(end, StoppedError) and not is_mistake(end):
                raise
        mistake = end is not None and is_mistake(end)
        stopped, *refused = self.any(
            isinstance(end, StoppedError), *(mistake and rank == self.rank for rank in range(self.count))
        )
        if stopped:
            raise end or StoppedError("stopped with another worker; the same command resumes the run")
        if any(refused):
            name = self._cluster.name(refused.index(True)) if self._cluster else ""
            raise end or UserError(f"All workers make one run. Received: a mistake, which {name} names.")
        return result

    @tf.function
    def _sum(self, values):
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A context for work of all workers: only the chief prints, and a lost worker is named.

        Raises:
            WorkerLostError: a worker is lost.
        """
        with contextlib.ExitStack() as stack:
            if not self.chief:
                silence = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(contextlib.redirect_stdout(silence))
            try:
                yield
            except _GONE as error:
                if self._cluster is None or not any(words in str(error) for words in _WORDS):
                    raise
                raise self._cluster.lost(str(error)) from error
