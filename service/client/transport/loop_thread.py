"""An event loop in a thread of its own, so that whoever waits for it can walk away at any moment."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """The loop; its thread starts with the first thing to do and never holds up the end of the process."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, job: Callable[[], Coroutine[Any, Any, T]]) -> Future[T] | None:
        """Start a job on the loop, from any thread.

        Returns
        -------
        future : Future or None
            None when the loop is closed.
        """
        with self._starting:
            if self._closed:
                return None
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._run, args=(self._loop,), name="saring", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(job(), self._loop)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Take nothing more, run one last job and leave. Again, it does nothing."""
        with self._starting:
            closed, self._closed = self._closed, True
        if closed or self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(last(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()  # without waiting for a name server that hangs
