"""Entry point of the vLLM plug-in (`vllm.general_plugins`), loaded in the API, engine core and worker processes.

vLLM only logs errors raised while a plug-in is imported, but lets errors of the function through: this module imports
nothing heavy, and everything that can fail is in `register`.
"""

from __future__ import annotations


def register() -> None:
    """Patch vLLM. Raises `IncompatibleError`, which stops the engine: better no answer than an unsteered one."""
    import os  # noqa: PLC0415 - every process with the package imports this file, vLLM or not

    from vllm.triton_utils import HAS_TRITON  # noqa: PLC0415 - see above

    from steering.engine.vllm import cache, mrv1, mrv2, rpc, scheduler  # noqa: PLC0415 - see above
    from steering.engine.vllm.compat import IncompatibleError  # noqa: PLC0415 - see above

    if os.environ.get("VLLM_USE_RUST_FRONTEND", "0") not in ("", "0"):
        raise IncompatibleError("the Rust front end would bypass lethe's fence: unset VLLM_USE_RUST_FRONTEND")
    mrv1.patch()
    if HAS_TRITON:  # without it vLLM always takes model runner V1, and V2 cannot even be imported
        mrv2.patch()
    rpc.install()
    scheduler.patch()
    cache.isolate()
