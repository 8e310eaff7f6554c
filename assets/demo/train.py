#!/usr/bin/env python3
"""Train the demo model: a Llama of 24 narrow blocks, on the CPU, until a given minute of the clock.

The learning rate follows the share of the time that has passed, not the number of steps, so that it has
always decayed when the time is over, however slow the machine was. A checkpoint is written every few minutes,
and a run that was stopped goes on from it.

Needs PyTorch and numpy, and what prepare_text.py wrote into the work folder.
"""

import argparse
import datetime
import json
import math
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.multiprocessing  # teaches the processes to share tensors
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, linear, silu

SEED = 24
WINDOW = 512  # tokens
EVALUATION_WINDOWS = 24


@dataclass(frozen=True)
class Shape:
    """The model's dimensions, named as in llama.cpp's metadata."""

    blocks: int = 24
    embedding: int = 256
    feed_forward: int = 256
    heads: int = 4
    heads_kv: int = 1
    vocabulary: int = 2048
    context: int = 1024
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head(self) -> int:
        """Return the width of one attention head."""
        return self.embedding // self.heads


def rope_table(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, each [length, head / 2], of the angles of rotary position embedding."""
    frequency = shape.rope_base ** (-torch.arange(0, shape.head, 2, dtype=torch.float64) / shape.head)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency)
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (0, 1), (2, 3), … of x [batch, time, …, …, head], as llama.cpp's llama does."""
    cos, sin = cos[:, None, None], sin[:, None, None]
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Divide by the root mean square over the last dimension, in float32, and scale."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * weight


def block(x: Tensor, weights: dict[str, Tensor], cos: Tensor, sin: Tensor, shape: Shape) -> Tensor:
    """Apply one transformer block to the residual stream x [batch, time, embedding], float32."""
    batch, length, _ = x.shape
    kind = weights["attn_q"].dtype
    normed = rms_norm(x, weights["attn_norm"], shape.norm_epsilon).to(kind)
    q = linear(normed, weights["attn_q"]).view(batch, length, shape.heads_kv, -1, shape.head)
    k = linear(normed, weights["attn_k"]).view(batch, length, shape.heads_kv, 1, shape.head)
    v = linear(normed, weights["attn_v"]).view(batch, length, shape.heads_kv, shape.head)
    q, k = rotate(q * shape.head**-0.5, cos, sin), rotate(k, cos, sin)
    # One product per key head serves all of its query heads. PyTorch's fused attention is slower backwards.
    q = q.permute(0, 2, 3, 1, 4).reshape(batch * shape.heads_kv, -1, shape.head)
    k = k.squeeze(3).transpose(1, 2).reshape(batch * shape.heads_kv, length, shape.head)
    v = v.transpose(1, 2).reshape(batch * shape.heads_kv, length, shape.head)
    scores = torch.bmm(q, k.mT).float().view(batch, -1, length, length)
    future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
    chances = scores.masked_fill(future, float("-inf")).softmax(-1).to(kind)
    mixed = torch.bmm(chances.view(batch * shape.heads_kv, -1, length), v).view(batch, -1, length, shape.head)
    x = x + linear(mixed.transpose(1, 2).reshape(batch, length, -1), weights["attn_output"])
    normed = rms_norm(x, weights["ffn_norm"], shape.norm_epsilon).to(kind)
    gated = silu(linear(normed, weights["ffn_gate"])) * linear(normed, weights["ffn_up"])
    return x + linear(gated, weights["ffn_down"])


class Llama(nn.Module):
    """The whole model; each parameter holds one role's weights of all blocks, [blocks, out, in]."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.block: Callable[..., Tensor] = block
        wide, key = shape.embedding, shape.heads_kv * shape.head
        sizes = {
            "attn_q": (wide, wide),
            "attn_k": (key, wide),
            "attn_v": (key, wide),
            "attn_output": (wide, wide),
            "ffn_gate": (shape.feed_forward, wide),
            "ffn_up": (shape.feed_forward, wide),
            "ffn_down": (wide, shape.feed_forward),
        }
        self.blocks = nn.ParameterDict()
        for role, (rows, columns) in sizes.items():
            scale = 0.7 * columns**-0.5
            if role in ("attn_output", "ffn_down"):
                scale *= (2 * shape.blocks) ** -0.5
            self.blocks[role] = nn.Parameter(torch.randn(shape.blocks, rows, columns) * scale)
        for role in ("attn_norm", "ffn_norm"):
            self.blocks[role] = nn.Parameter(torch.ones(shape.blocks, wide))
        self.token_embd = nn.Parameter(torch.randn(shape.vocabulary, wide) * 0.05)
        self.output_norm = nn.Parameter(torch.ones(wide))
        cos, sin = rope_table(shape, shape.context)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens: Tensor, kind: torch.dtype = torch.float32) -> Tensor:
        """Return float32 logits [batch, time, vocabulary] for tokens [batch, time], multiplied in `kind`."""
        roles = {
            role: (weight if role.endswith("_norm") else weight.to(kind)).unbind(0)
            for role, weight in self.blocks.items()
        }
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        x = embedding(tokens, self.token_embd)
        for i in range(self.shape.blocks):
            x = self.block(x, {role: weights[i] for role, weights in roles.items()}, cos, sin, self.shape)
        normed = rms_norm(x, self.output_norm, self.shape.norm_epsilon)
        return linear(normed.to(kind), self.token_embd.to(kind)).float()


def orthogonal(matrices: Tensor) -> Tensor:
    """Return nearly the nearest semi-orthogonal matrices to [n, rows, columns], by Newton-Schulz steps."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    x = x.bfloat16()
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.float()


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal, for the blocks' matrices; a step's RMS is 0.2 `lr`.

    Source: K. Jordan, "Muon: An optimizer for hidden layers in neural networks", 2024; the scale is that of
    arXiv 2502.16982, by which learning rates of AdamW carry over.
    """

    def __init__(
        self, parameters: list[nn.Parameter], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every matrix one step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = orthogonal(parameter.grad.lerp(state["momentum"], group["momentum"]))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-0.2 * group["lr"] * max(parameter.shape[-2:]) ** 0.5)


def optimizers(model: Llama, rate: float, embedding_rate: float) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices and AdamW for the embedding and the norms, at their peak rates."""
    matrices = [weight for role, weight in model.blocks.items() if not role.endswith("_norm")]
    norms = [weight for role, weight in model.blocks.items() if role.endswith("_norm")] + [model.output_norm]
    groups = [
        {"params": [model.token_embd], "lr": embedding_rate, "weight_decay": 0.01},
        {"params": norms, "lr": embedding_rate, "weight_decay": 0.0},
    ]
    made = [
        Muon(matrices, rate, 0.95, 0.05),
        torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-10, fused=True),
    ]
    for optimizer in made:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return made


def rate_factor(share: float, warm_up: float = 0.02, last: float = 0.05) -> float:
    """Return the learning rate's part of its peak when `share` of the time has passed."""
    if share < warm_up:
        return max(0.02, share / warm_up)
    return 1 - (1 - last) * min(1.0, (share - warm_up) / (1 - warm_up))


class Windows:
    """The training text in windows of WINDOW tokens, in an order that is random but fixed."""

    def __init__(self, tokens: np.ndarray) -> None:
        self.tokens = tokens
        self.count = (len(tokens) - 1) // WINDOW
        self.epoch = -1
        self.order = np.zeros(0, np.int64)

    def take(self, first: int, number: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets, each [number, WINDOW], of the windows from place `first` on."""
        rows = []
        for position in range(first, first + number):
            epoch, index = divmod(position, self.count)
            if epoch != self.epoch:
                self.order, self.epoch = np.random.default_rng((SEED, epoch)).permutation(self.count), epoch
            start = int(self.order[index]) * WINDOW
            rows.append(self.tokens[start : start + WINDOW + 1].astype(np.int64))
        batch = torch.from_numpy(np.stack(rows))
        return batch[:, :-1].contiguous(), batch[:, 1:].contiguous()


@torch.no_grad()
def held_out_loss(model: Llama, tokens: np.ndarray, kind: torch.dtype) -> float:
    """Return the mean negative log-likelihood, in nats per token, of held-out windows' second halves."""
    chunks = torch.from_numpy(tokens[: EVALUATION_WINDOWS * WINDOW].astype(np.int64)).view(-1, WINDOW)
    total = 0.0
    for part in chunks.split(4):
        logits = model(part, kind)[:, WINDOW // 2 - 1 : -1]
        total += cross_entropy(logits.flatten(0, 1), part[:, WINDOW // 2 :].flatten(), reduction="sum").item()
    return total / (len(chunks) * WINDOW // 2)


@dataclass
class Progress:
    """How far a run has come; all of it is kept in the checkpoint."""

    began: float  # seconds since the epoch
    step: int = 0
    windows: int = 0

    @property
    def tokens(self) -> int:
        """Return the number of tokens seen."""
        return self.windows * WINDOW


def save(path: Path, model: Llama, made: list[torch.optim.Optimizer], progress: Progress) -> None:
    """Write a checkpoint in one move, so that a reader never finds half of one."""
    state = {
        "shape": asdict(model.shape),
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in made],
        "progress": asdict(progress),
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def end_of(text: str) -> float:
    """Read `HH:MM` (the next such minute, UTC) or a number of minutes from now as seconds since the epoch."""
    if ":" not in text:
        return time.time() + 60 * float(text)
    hour, minute = map(int, text.split(":"))
    now = datetime.datetime.now(datetime.UTC)
    end = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (end if end > now else end + datetime.timedelta(days=1)).timestamp()


@dataclass
class Shared:
    """What the training processes share: the model, a gradient from each, and the parts of a step.

    Processes of one thread each, which take the next part of the batch when they are done with one, lose far
    less than threads do where other programs want the same cores.
    """

    model: Llama
    gradients: list[list[Tensor]]  # one list a process, in the order of model.parameters()
    losses: Tensor  # float64, one sum a process
    inputs: Tensor  # int64 [batch, WINDOW]
    targets: Tensor
    next_part: Any  # multiprocessing.Value: the next part of the batch that no process has taken
    length: Any  # multiprocessing.Value: the tokens of a sequence, 0 to end
    begin: Any  # multiprocessing.Barrier
    done: Any  # multiprocessing.Barrier


def share_out(options: argparse.Namespace) -> Shared:
    """Return a new model and room for gradients, all in shared memory."""
    torch.manual_seed(SEED)
    context = multiprocessing.get_context("spawn")
    model = Llama(Shape()).share_memory()
    batch = torch.zeros(2, options.batch, WINDOW, dtype=torch.int64).share_memory_()
    return Shared(
        model=model,
        gradients=[
            [torch.zeros_like(p).share_memory_() for p in model.parameters()]
            for _ in range(options.processes)
        ],
        losses=torch.zeros(options.processes, dtype=torch.float64).share_memory_(),
        inputs=batch[0],
        targets=batch[1],
        next_part=context.Value("l", 0),
        length=context.Value("l", WINDOW),
        begin=context.Barrier(options.processes),
        done=context.Barrier(options.processes),
    )


def compute_parts(shared: Shared, number: int, options: argparse.Namespace) -> None:
    """Add up process `number`'s gradient: take parts of the batch until none is left."""
    kind = torch.float32 if options.float32 else torch.bfloat16
    parts = options.batch // options.micro_batch
    for parameter, gradient in zip(shared.model.parameters(), shared.gradients[number], strict=True):
        parameter.grad = gradient.zero_()
    shared.losses[number] = 0.0
    while True:
        with shared.next_part.get_lock():
            part = shared.next_part.value
            shared.next_part.value += 1
        if part >= parts:
            return
        rows = slice(part * options.micro_batch, (part + 1) * options.micro_batch)
        inputs = shared.inputs[rows].reshape(-1, shared.length.value)
        targets = shared.targets[rows].reshape(-1)
        loss = cross_entropy(shared.model(inputs, kind).flatten(0, 1), targets) / parts
        loss.backward()
        shared.losses[number] += loss.item()


def follow(shared: Shared, number: int, options: argparse.Namespace) -> None:
    """Be one of the processes that compute gradients, until the first one says that training is over."""
    torch.set_num_threads(1)
    if options.compile:
        shared.model.block = torch.compile(block, dynamic=False)
    while True:
        shared.begin.wait()
        if not shared.length.value:
            return
        compute_parts(shared, number, options)
        shared.done.wait()


def one_step(
    shared: Shared, made: list[torch.optim.Optimizer], factor: float, length: int, options: argparse.Namespace
) -> float:
    """Compute the batch's gradient in all processes, move the model, and return the loss per token."""
    shared.next_part.value, shared.length.value = 0, length
    shared.begin.wait()
    compute_parts(shared, 0, options)
    shared.done.wait()
    torch.set_num_threads(options.processes)
    for others in shared.gradients[1:]:
        for gradient, other in zip(shared.gradients[0], others, strict=True):
            gradient.add_(other)
    nn.utils.clip_grad_norm_(shared.model.parameters(), 1.0)
    for optimizer in made:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        optimizer.step()
    torch.set_num_threads(1)
    return float(shared.losses.sum())


def train(options: argparse.Namespace) -> None:
    """Train until the deadline, with a line to the log every so often."""
    torch.set_num_threads(1)
    kind = torch.float32 if options.float32 else torch.bfloat16
    work: Path = options.work
    checkpoint: Path = work / f"{options.name}.pt"
    windows = Windows(np.load(work / "train.npy", mmap_mode="r"))
    held_out = np.load(work / "held_out.npy")
    shared = share_out(options)
    model = shared.model
    made = optimizers(model, options.rate, options.embedding_rate)
    progress = Progress(time.time())
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(made, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        progress = Progress(**state["progress"])
    context = multiprocessing.get_context("spawn")
    followers = [
        context.Process(target=follow, args=(shared, number, options), daemon=True)
        for number in range(1, options.processes)
    ]
    for follower in followers:
        follower.start()
    if options.compile:
        model.block = torch.compile(block, dynamic=False)
    deadline = end_of(options.deadline)
    saved_at = spoke_at = time.time()
    spoke_tokens = progress.tokens
    with (work / f"{options.name}.log").open("a", encoding="utf-8") as log:

        def say(**line: float) -> None:
            print(json.dumps(line), file=log, flush=True)

        losses: list[float] = []
        slowest = 0.0
        while time.time() + slowest < deadline:
            started = time.time()
            share = (started - progress.began) / (deadline - progress.began)
            length = WINDOW // 2 if share < options.short_share else WINDOW
            inputs, targets = windows.take(progress.windows, options.batch)
            shared.inputs.copy_(inputs)
            shared.targets.copy_(targets)
            losses.append(one_step(shared, made, rate_factor(share), length, options))
            progress.step += 1
            progress.windows += options.batch
            now = time.time()
            slowest = min(max(slowest * 0.9, now - started), 30.0)
            if now - spoke_at >= options.log_every:
                speed = (progress.tokens - spoke_tokens) / (now - spoke_at)
                say(
                    share=round(share, 4),
                    step=progress.step,
                    tokens=progress.tokens,
                    loss=round(math.fsum(losses) / len(losses), 4),
                    tokens_per_s=round(speed),
                )
                losses.clear()
                spoke_at, spoke_tokens = now, progress.tokens
            if now - saved_at >= options.save_every:
                save(checkpoint, model, made, progress)
                say(step=progress.step, tokens=progress.tokens, held_out=held_out_loss(model, held_out, kind))
                saved_at = time.time()
        shared.length.value = 0
        shared.begin.wait()
        save(checkpoint, model, made, progress)
        say(step=progress.step, tokens=progress.tokens, seconds=round(time.time() - progress.began),
            held_out=held_out_loss(model, held_out, kind))  # fmt: skip


def main() -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=Path("work"), help="folder with the tokens (default: work)"
    )
    parser.add_argument(
        "--name", default="checkpoint", help="name of the checkpoint and the log in that folder"
    )
    parser.add_argument("--deadline", default="70", help="when to end: HH:MM in UTC, or minutes from now")
    parser.add_argument("--rate", type=float, default=6e-3, help="peak learning rate of the blocks' matrices")
    parser.add_argument(
        "--embedding-rate", type=float, default=4e-3, help="that of the embedding and the norms"
    )
    parser.add_argument("--batch", type=int, default=12, help=f"windows of {WINDOW} tokens to a step")
    parser.add_argument("--micro-batch", type=int, default=2, help="windows computed at once")
    parser.add_argument(
        "--short-share", type=float, default=0.6, help="share of the time on half windows, first"
    )
    parser.add_argument(
        "--processes", type=int, default=2, help="that share the batch, one thread each (default: 2)"
    )
    parser.add_argument("--log-every", type=float, default=30.0, help="seconds")
    parser.add_argument("--save-every", type=float, default=300.0, help="seconds")
    parser.add_argument("--float32", action="store_true", help="multiply in float32 rather than bfloat16")
    parser.add_argument(
        "--compile", action="store_true", help="fuse each block's operations (needs a C++ compiler)"
    )
    train(parser.parse_args())


if __name__ == "__main__":
    main()
