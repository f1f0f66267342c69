"""vLLM samples, this process learns: the embedded engine's policies, replies drawn by vLLM in a process beside it.

Everything about policies, versions and weights is the embedded engine's; so is scoring of given candidates, which it
does with a tree of tokens in one pass. Replies are sampled by vLLM as tokens in, tokens out, with the log-probability
of every sampled token. A version is published when it is first asked for:

- **a LoRA adapter** under a fresh name, path and number, so that nothing cached under another version is ever used.
  Many versions of many policies are served at once; one that is forgotten goes when its last request has ended.
- **whole weights** through vLLM's own weight transfer: pause, send, say the version, compute again what was cached,
  resume. One vLLM serves the live version of one such policy; frozen versions are sampled by their copies here. A
  request that was under way goes on, and its tokens carry the version that sampled them.

Every publication is verified: vLLM samples after a fixed prompt of 300 tokens, and the learner must give what was
sampled the same log-probabilities, or the engine refuses to go on.

What is exact: log-probabilities, to the tolerance stated. What is not: the same seeds need not give the same tokens in
another batch; an episode is replayed from its record. Facts of vLLM that this file rests on were seen in 0.32.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import random
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from palaestra.agents import batching
from palaestra.agents.engines import Completion, Sampling, vllm_transfer
from palaestra.agents.engines.embedded import EmbeddedEngine, GenerateJob, score
from palaestra.agents.episode import PolicyRef
from palaestra.errors import EngineError, MismatchError

T = TypeVar("T")
PROBE, REPLY = 300, 24
"""Tokens of the prompt and of the reply by which a publication is verified: short prompts do not show a stale cache."""
PULSE_S = 1.0
"""How often it is looked whether vLLM's process is still there, while it is waited for."""
RESTARTS = 3
"""How often vLLM is started again, where its process has died, for one request."""
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.3, torch.float16: 0.1}
"""Nats between engine and learner, at most, at any token of the probe."""


class Published(NamedTuple):
    """A version that vLLM has as an adapter."""

    request: Any
    """vLLM's own handle."""
    path: Path


@dataclass
class _Served:
    """A vLLM engine, and what it has."""

    server: Server
    adapters: dict[PolicyRef, Published] = field(default_factory=dict)
    leases: Counter[PolicyRef] = field(default_factory=Counter)
    """Requests under way, by version."""
    version: int | None = None
    """Of the whole weights."""


class VllmEngine(EmbeddedEngine):
    """Samples with vLLM what the embedded engine holds.

    Args:
        device, dtype: as in the embedded engine, of the learner's weights; vLLM takes the same dtype.
        memory: the share of the GPU's memory that vLLM takes; on a CPU, GiB for its cache.
        adapters: adapters in one batch at most; more versions than that may be known, and take turns.
        rank: the largest rank of an adapter.
        requests: sequences in one batch at most.
        tensor_parallel: GPUs that share vLLM's copy of the weights (on a CPU, processes); divides the model's heads.
        eager: no compiled graphs; always so on a CPU.
        sleep: give vLLM's memory to the learner between rollouts (level 1; GPU only).
        tolerance: nats; by default by dtype, see `TOLERANCE`.

    Raises:
        MissingExtraError: vLLM is not installed.
        EngineError: it is a version that this engine was not tried with, or there are fewer GPUs than are to share.
    """

    def __init__(
        self,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        memory: float | None = None,
        adapters: int = 8,
        rank: int = 16,
        requests: int = 256,
        tensor_parallel: int = 1,
        eager: bool = False,
        sleep: bool = False,
        tolerance: float | None = None,
        **more: Any,
    ) -> None:
        vllm_transfer.installed()
        super().__init__(device=device, dtype=dtype, **more)
        self.adapters, self.rank, self.requests, self.eager, self.sleep = adapters, rank, requests, eager, sleep
        self.memory = memory if memory is not None else (1 if self.device.type == "cpu" else 0.5)
        self.tolerance, self.tensor_parallel = tolerance, tensor_parallel
        if self.device.type == "cuda" and (there := torch.cuda.device_count()) < tensor_parallel:
            raise EngineError(f"tensor_parallel = {tensor_parallel}, and {there} GPU{'s' * (there != 1)} are there")
        self.verified: dict[PolicyRef, float] = {}
        """How far engine and learner were apart at each version's publication, in nats."""
        shared = Path("/dev/shm")
        self._folder = Path(tempfile.mkdtemp(prefix="palaestra-", dir=shared if shared.is_dir() else None))
        self._served: dict[str, _Served] = {}
        self._asked = self._numbers = self._deaths = 0
        self._lock = threading.RLock()  # several rollouts may ask at once, each in a thread of its own
        atexit.register(self.close)

    # -- policies ------------------------------------------------------------------------------------------------
    def add_base(self, key: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        """A model that policies are made from. It is moved and cast in place, and written down for vLLM.

        Raises:
            EngineError: its heads cannot be divided among the GPUs.
        """
        heads = model.config.get_text_config().num_attention_heads
        if heads % self.tensor_parallel:
            raise EngineError(
                f"{key}: {heads} heads of attention cannot be shared by tensor_parallel = {self.tensor_parallel}\n"
                "  take a number that divides them"
            )
        super().add_base(key, model, tokenizer)
        model.save_pretrained(str(self._base_path(key)))

    def forget(self, ref: PolicyRef) -> None:
        """Drop a frozen version, here and in vLLM."""
        super().forget(ref)
        self._tidy()

    def close(self) -> None:
        """Stop every vLLM process and remove what was written for it."""
        for served in self._served.values():
            served.server.close()
        self._served.clear()
        atexit.unregister(self.close)
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- the protocol of engines ---------------------------------------------------------------------------------
    async def generate(self, prefix: list[int], sampling: Sampling, policy: PolicyRef, seed: int) -> Completion:
        """A reply that follows `prefix`, sampled by vLLM."""
        problem = self._problem(GenerateJob(prefix, sampling, policy, seed))
        if isinstance(problem, EngineError):
            raise problem
        if problem is not None:
            return problem
        for _ in range(1 + RESTARTS):
            if not self._is_served(policy):
                return await super().generate(prefix, sampling, policy, seed)
            served, deaths = None, self._deaths
            try:
                served = self._ready(policy, lease=True)
                reply = self._reply(served, prefix, sampling, policy, seed)
                return await batching.apart(served.server.ask(reply))
            except Exception:
                self._bury()
                if self._deaths == deaths:  # vLLM lives: the request itself is at fault
                    raise
            finally:
                if served is not None:
                    served.leases[policy] -= 1
                    self._tidy()
        raise EngineError(
            f"{policy}: vLLM died {1 + RESTARTS} times over one request of {len(prefix)} tokens\n"
            "  its memory may be too small: engine settings `memory` and `requests`"
        )

    async def publish(self, policy: PolicyRef, weights: Any = None) -> None:
        """Make a version known: a state, or None for the live weights, which vLLM is then given."""
        if weights is not None or policy.version != self.version(policy.name):
            self.freeze(policy, weights)
        if self._is_served(policy):
            self._ready(policy)

    def prepare(self, refs: Sequence[PolicyRef]) -> None:
        """Give vLLM those of the versions that it serves."""
        for ref in refs:
            if self._is_served(ref):
                self._ready(ref)

    def rest(self) -> None:
        """Between rollouts: with `sleep`, vLLM's memory is the learner's until the next request."""
        if self.sleep and self.device.type != "cpu":
            for served in self._served.values():
                served.server.call(served.server.llm.sleep(level=1))

    # -- publishing ----------------------------------------------------------------------------------------------
    def _is_served(self, ref: PolicyRef) -> bool:
        """Whether vLLM samples a version: adapters always, of whole weights the live ones."""
        policy = self._policy(ref.name)
        return policy.adapter is not None or ref.version == policy.version

    def _ready(self, ref: PolicyRef, *, lease: bool = False) -> _Served:
        """The vLLM that has the version, which is started or given it where it must be; with a lease it keeps it."""
        with self._lock:
            served = self._given(ref)
            served.leases[ref] += lease
            return served

    def _given(self, ref: PolicyRef) -> _Served:
        policy = self._policy(ref.name)
        key = policy.base if policy.adapter is not None else f"{policy.base} of {ref.name}"
        if key not in self._served:
            self._served[key] = _Served(Server(self._settings(policy.base, lora=policy.adapter is not None)))
        served = self._served[key]
        if self.sleep:
            served.server.wake()
        if policy.adapter is None:
            if served.version != ref.version:
                self._send(served, ref)
                try:
                    self._verify(served, ref)
                except EngineError:
                    served.version = -1  # it has been given none that it may be asked for
                    raise
        elif ref not in served.adapters:
            served.adapters[ref] = self._adapter(served, ref)
            self._tidy()
            if ref in self.verified:  # before vLLM died: its file is the same, and the learner may be at work
                return served
            try:
                self._verify(served, ref)
            except EngineError:
                del served.adapters[ref]
                raise
        return served

    def _settings(self, base: str, *, lora: bool) -> dict[str, Any]:
        """The arguments of a vLLM engine for a base."""
        home = self._base(base)
        cpu = self.device.type == "cpu"
        dtype = next(home.model.parameters()).dtype
        found: dict[str, Any] = {
            "model": str(self._base_path(base)),
            "skip_tokenizer_init": True,
            "dtype": str(dtype).removeprefix("torch."),
            "max_model_len": home.context,
            "max_num_seqs": self.requests,
            "tensor_parallel_size": self.tensor_parallel,
            "enforce_eager": cpu or self.eager,
            "enable_prefix_caching": True,
            "logprobs_mode": "processed_logprobs",
            "disable_log_stats": True,
            "enable_sleep_mode": self.sleep and not cpu,
            "weight_transfer_config": {"backend": vllm_transfer.NAME},
        }
        if cpu:
            os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, round(self.memory)))
            found["enable_chunked_prefill"] = False  # after a chunk it turns a seeded generator back: on CUDA only
        else:
            found["gpu_memory_utilization"] = self.memory
        if lora:
            found |= {
                "enable_lora": True,
                "max_loras": self.adapters,
                "max_cpu_loras": 2 * self.adapters,
                "max_lora_rank": next(r for r in (1, 8, 16, 32, 64, 128, 256, 320, 512) if r >= self.rank),
                "weight_transfer_config": None,
            }
        return found

    def _adapter(self, served: _Served, ref: PolicyRef) -> Published:
        """Write a version's adapter as peft does, and have vLLM load it."""
        from safetensors.torch import save_file
        from vllm.lora.request import LoRARequest

        options = self._policy(ref.name).adapter
        assert options is not None
        self._numbers += 1
        path = self._folder / f"{ref.name}@{ref.version}.{self._numbers}"
        hidden = path.with_name(f".{path.name}")
        hidden.mkdir()
        state = {f"base_model.model.{name}": tensor.contiguous() for name, tensor in self.state(ref).items()}
        save_file(state, hidden / "adapter_model.safetensors")
        targets = sorted({name.split(".lora_")[0].rpartition(".")[2] for name in state})
        config = {"peft_type": "LORA", "r": options["rank"], "lora_alpha": options["alpha"], "target_modules": targets}
        (hidden / "adapter_config.json").write_text(json.dumps(config))
        hidden.rename(path)
        request = LoRARequest(path.name, self._numbers, str(path))
        served.server.call(served.server.llm.add_lora(request))
        return Published(request, path)

    def _send(self, served: _Served, ref: PolicyRef) -> None:
        """Whole weights to vLLM; what is under way goes on with them, its cached keys and values computed anew."""
        from safetensors.torch import save_file
        from vllm.distributed.weight_transfer.base import WeightTransferInitRequest, WeightTransferUpdateRequest

        path = self._folder / f"{ref.name}.safetensors"
        tensors: dict[int, str] = {}
        state = {}
        for name, tensor in self.state(ref).items():
            if tensors.setdefault(tensor.data_ptr(), name) == name or not tensor.numel():
                state[name] = tensor.contiguous()
        tied = getattr(self.live(ref.name).config.get_text_config(), "tie_word_embeddings", False)  # type: ignore[union-attr,operator]
        if tied:
            state.pop("lm_head.weight", None)
        save_file(state, path)
        llm = served.server.llm

        async def update() -> None:
            if served.version is None:
                await llm.init_weight_transfer_engine(WeightTransferInitRequest(init_info={}))
            await llm.pause_generation(mode="keep")
            try:
                await llm.start_weight_update()
                await llm.update_weights(WeightTransferUpdateRequest(update_info={"path": str(path)}))
                await llm.finish_weight_update(weight_version=str(ref.version))
                await llm.reset_prefix_cache(reset_running_requests=True)
            finally:
                await llm.resume_generation()

        served.server.call(update())
        served.version = ref.version
        path.unlink()

    def _verify(self, served: _Served, ref: PolicyRef) -> None:
        """Sample with vLLM, score with the learner, compare.

        Raises:
            MismatchError: they do not agree; nothing that vLLM samples of this version may be trained on.
        """
        context, vocab = self.context(ref.name), self._base(self._policy(ref.name).base).model.config.get_text_config()
        rng = random.Random(f"probe|{ref.name}")
        prompt = [rng.randrange(vocab.vocab_size) for _ in range(max(1, min(PROBE, context - REPLY - 1)))]
        room = max(1, min(REPLY, context - len(prompt)))
        reply = served.server.call(self._reply(served, prompt, Sampling(room), ref, rng.getrandbits(31)))
        module = self.module(ref)
        ((again,),) = score(module, [(prompt, [reply.ids])], min_rows=self.min_rows)
        gap = max(abs(a - b) for a, b in zip(reply.logprobs, again, strict=True))
        limit = self.tolerance or TOLERANCE.get(next(module.parameters()).dtype, 1e-3)
        if not gap <= limit:
            raise MismatchError(
                f"{ref}: vLLM and the learner differ by {gap:.2g} nats at a token, after it was published\n"
                f"  at most {limit:g} is allowed (engine setting `tolerance`); training on such tokens would be wrong\n"
                '  run `palaestra doctor`; engine kind = "transformers" samples from the learner\'s own weights'
            )
        self.verified[ref] = gap

    def _tidy(self) -> None:
        """Take from vLLM the adapters that no request uses and nobody may ask for again."""
        with self._lock:
            for served in [s for s in self._served.values() if not s.server.dead]:
                for ref in [r for r in served.adapters if not served.leases[r] and not self._known(r)]:
                    gone = served.adapters.pop(ref)
                    served.server.call(served.server.llm.remove_lora(gone.request.lora_int_id))
                    shutil.rmtree(gone.path, ignore_errors=True)

    def _bury(self) -> None:
        """Let go of every vLLM whose process has died; whoever asks next starts another."""
        with self._lock:
            for key in [key for key, served in self._served.items() if served.server.dead]:
                self._served.pop(key).server.close()
                self._deaths += 1

    def _known(self, ref: PolicyRef) -> bool:
        policy = self._policy(ref.name)
        return ref.version == policy.version or ref.version in policy.frozen

    def _base_path(self, key: str) -> Path:
        return self._folder / f"base {list(self._bases).index(key)}"

    # -- asking --------------------------------------------------------------------------------------------------
    async def _reply(
        self, served: _Served, prefix: list[int], sampling: Sampling, ref: PolicyRef, seed: int
    ) -> Completion:
        """One request, in the server's loop."""
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt

        published = served.adapters.get(ref)
        if published is None and self._policy(ref.name).adapter is not None:
            raise EngineError(f"{ref}: vLLM no longer has it")  # without its adapter the base would speak
        self._asked += 1
        params = SamplingParams(
            temperature=sampling.temperature,
            max_tokens=min(sampling.max_tokens, self.context(ref.name) - len(prefix)),
            stop_token_ids=list(sampling.stop_ids),
            ignore_eos=True,
            seed=seed & (1 << 63) - 1,
            logprobs=0,
            detokenize=False,
        )
        prompt = TokensPrompt(prompt_token_ids=prefix, cache_salt=str(ref))
        lora = published.request if published else None
        last = None
        async for output in served.server.llm.generate(prompt, params, f"{ref} {self._asked}", lora_request=lora):
            last = output
        if last is None or not last.finished or last.outputs[0].finish_reason not in ("stop", "length"):
            reason = last.outputs[0].finish_reason if last else "nothing"
            raise EngineError(f"{ref}: vLLM ended a request with {reason!r}")
        done = last.outputs[0]
        ids = list(done.token_ids)
        logprobs = [float(step[token].logprob) for token, step in zip(ids, done.logprobs, strict=True)]
        said = [] if published else done.weight_versions or []
        spans = [(int(s.version) if s.version.isdigit() else 0, s.start) for s in said]  # "default": as it was loaded
        return Completion(ids, logprobs, done.finish_reason, tuple(spans) if len(spans) > 1 else ())


class Server:
    """One vLLM engine with a process of its own, and the thread whose event loop talks to it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="vllm", daemon=True).start()
        self._closed = False
        self.llm: Any = None
        self.llm = self.call(self._start(settings))

    async def _start(self, settings: dict[str, Any]) -> Any:
        from vllm import AsyncEngineArgs
        from vllm.config import WeightTransferConfig
        from vllm.v1.engine.async_llm import AsyncLLM

        transfer = settings.pop("weight_transfer_config")
        if transfer:
            settings["weight_transfer_config"] = WeightTransferConfig(**transfer)
        return AsyncLLM.from_engine_args(AsyncEngineArgs(**settings))

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine of the server's loop; waits for it, as long as there is somebody to answer.

        vLLM leaves some calls without an answer for ever when its process dies under them.

        Raises:
            EngineError: the process has died.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        while not wait([future], timeout=PULSE_S).done:
            self._expect(future)
        return future.result()

    async def ask(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine of the server's loop, while this loop goes on; else as `call`."""
        future = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self.loop))
        while not (await asyncio.wait({future}, timeout=PULSE_S))[0]:
            self._expect(future)
        return future.result()

    def _expect(self, future: Future[T] | asyncio.Future[T]) -> None:
        """Nothing, as long as there is somebody who may answer."""
        if self.dead:
            future.cancel()
            raise EngineError("vLLM's process has died")

    @property
    def dead(self) -> bool:
        """Whether the process behind it is gone."""
        return self._closed or (self.llm is not None and bool(self.llm.errored))

    def wake(self) -> None:
        """Take the memory back."""
        if self.call(self.llm.is_sleeping()):
            self.call(self.llm.wake_up())

    def close(self) -> None:
        async def stop() -> None:
            self.llm.shutdown()

        asyncio.run_coroutine_threadsafe(stop(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._closed, self.llm = True, None  # at the interpreter's end it could no longer tidy up after itself
