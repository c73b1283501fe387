"""A compact Llama-style decoder whose parameters carry the Hugging Face names.

Written for training speed on few CPU cores: fused projections, and an optional
slot-tagging head that exists during training only.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class NanoShape:
    def __init__(self, vocab_size, hidden=192, inner=320, layers=6, heads=6, kv_heads=2):
        self.vocab_size = vocab_size
        self.hidden = hidden
        self.inner = inner
        self.layers = layers
        self.heads = heads
        self.kv_heads = kv_heads
        self.head_dim = 32
        self.max_positions = 256
        self.rope_theta = 10_000.0
        self.norm_eps = 1e-5


class Norm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def matrix(outputs, inputs):
    holder = nn.Module()
    holder.weight = nn.Parameter(torch.randn(outputs, inputs) * inputs**-0.5)
    return holder


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = shape.heads, shape.kv_heads, shape.head_dim
        self.q_proj = matrix(shape.heads * shape.head_dim, shape.hidden)
        self.k_proj = matrix(shape.kv_heads * shape.head_dim, shape.hidden)
        self.v_proj = matrix(shape.kv_heads * shape.head_dim, shape.hidden)
        self.o_proj = matrix(shape.hidden, shape.heads * shape.head_dim)

    def project(self, x, cos, sin):
        """Rotated queries and keys, and values: (batch, heads, length, head_dim)."""
        batch, length, _ = x.shape
        fused = torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])
        mixed = F.linear(x, fused).view(batch, length, -1, self.head_dim)
        q, k, v = mixed.split([self.heads, self.kv_heads, self.kv_heads], dim=2)
        return (
            rotate(q, cos, sin).transpose(1, 2),
            rotate(k, cos, sin).transpose(1, 2),
            v.transpose(1, 2),
        )

    def attend(self, q, k, v, visible):
        """visible: added to the scores; 0 where a key may be seen, -inf elsewhere."""
        batch, _, length, _ = q.shape
        groups = self.heads // self.kv_heads
        q = q.reshape(batch, self.kv_heads, groups * length, self.head_dim)
        scores = torch.matmul(q, k.transpose(-1, -2)) * self.head_dim**-0.5
        scores = scores.view(batch, self.kv_heads, groups, length, -1).float()
        weights = torch.softmax(scores + visible, dim=-1).to(v.dtype)
        mixed = torch.matmul(weights.view(batch, self.kv_heads, groups * length, -1), v)
        mixed = mixed.view(batch, self.heads, length, self.head_dim).transpose(1, 2)
        return F.linear(mixed.reshape(batch, length, -1), self.o_proj.weight)


class FeedForward(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.gate_proj = matrix(shape.inner, shape.hidden)
        self.up_proj = matrix(shape.inner, shape.hidden)
        self.down_proj = matrix(shape.hidden, shape.inner)

    def forward(self, x):
        fused = torch.cat([self.gate_proj.weight, self.up_proj.weight])
        gate, up = F.linear(x, fused).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * up, self.down_proj.weight)


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.input_layernorm = Norm(shape.hidden, shape.norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = Norm(shape.hidden, shape.norm_eps)
        self.mlp = FeedForward(shape)


def rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat([-second, first], dim=-1) * sin).to(x.dtype)


class NanoModel(nn.Module):
    def __init__(self, shape, tag_count=0, tag_layer=None, dropout=0.0):
        super().__init__()
        self.shape = shape
        self.dropout = dropout
        self.tag_layer = tag_layer
        self.embed_tokens = nn.Module()
        self.embed_tokens.weight = nn.Parameter(torch.randn(shape.vocab_size, shape.hidden) * 0.05)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.hidden, shape.norm_eps)
        with torch.no_grad():
            for layer in self.layers:
                layer.self_attn.o_proj.weight.mul_((2 * shape.layers) ** -0.5)
                layer.mlp.down_proj.weight.mul_((2 * shape.layers) ** -0.5)
        self.tag_head = nn.Linear(shape.hidden, tag_count) if tag_count else None
        steps = torch.arange(0, shape.head_dim, 2).float() / shape.head_dim
        angles = torch.outer(torch.arange(shape.max_positions).float(), shape.rope_theta**-steps)
        angles = torch.cat([angles, angles], dim=-1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        hidden_from = torch.full((shape.max_positions, shape.max_positions), float("-inf"))
        self.register_buffer("causal", hidden_from.triu(1), persistent=False)
        self.noise = np.random.default_rng(0)

    def drop(self, x):
        if not self.training or self.dropout == 0.0:
            return x
        draws = torch.from_numpy(self.noise.integers(0, 256, x.shape, dtype=np.uint8))
        threshold = round(self.dropout * 256)
        return x * ((draws >= threshold).to(x.dtype) * (256 / (256 - threshold)))

    def forward(self, ids, wanted=None):
        """Returns (logits, tag logits or None) for right-padded token ids; `wanted`,
        a boolean mask over ids, limits the logits to those positions."""
        length = ids.shape[1]
        cos, sin = self.cos[:length, None], self.sin[:length, None]
        visible = self.causal[:length, :length]
        x = self.drop(F.embedding(ids, self.embed_tokens.weight))
        tags = None
        for index, layer in enumerate(self.layers):
            q, k, v = layer.self_attn.project(layer.input_layernorm(x), cos, sin)
            x = x + self.drop(layer.self_attn.attend(q, k, v, visible))
            x = x + self.drop(layer.mlp(layer.post_attention_layernorm(x)))
            if index == self.tag_layer and self.tag_head is not None:
                tags = self.tag_head(x)
        if wanted is not None:
            x = x[wanted]
        return F.linear(self.norm(x), self.embed_tokens.weight), tags

    def advance(self, ids, positions, cache, visible):
        """One cached step for rows of differing lengths: writes keys and values at
        `positions` (batch, length) and returns the logits of every given token."""
        cos, sin = self.cos[positions][:, :, None], self.sin[positions][:, :, None]
        rows = torch.arange(ids.shape[0])[:, None]
        x = F.embedding(ids, self.embed_tokens.weight)
        for layer, (keys, values) in zip(self.layers, cache):
            q, k, v = layer.self_attn.project(layer.input_layernorm(x), cos, sin)
            keys[rows, :, positions] = k.transpose(1, 2)
            values[rows, :, positions] = v.transpose(1, 2)
            x = x + layer.self_attn.attend(q, keys, values, visible)
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return F.linear(self.norm(x), self.embed_tokens.weight)

    @torch.no_grad()
    def greedy(self, prompts, eos, limit=None):
        """Greedy continuations (without the eos) of a list of token-id lists."""
        limit = limit or self.shape.max_positions
        batch, longest = len(prompts), max(map(len, prompts))
        room = (batch, self.shape.kv_heads, limit, self.shape.head_dim)
        cache = [(torch.zeros(room), torch.zeros(room)) for _ in self.layers]
        ids = torch.tensor([p + [eos] * (longest - len(p)) for p in prompts])
        lengths = torch.tensor([len(p) for p in prompts])
        columns = torch.arange(limit)

        def seen_from(positions):
            later = columns[None, None, :] > positions[:, :, None]
            zeros = torch.zeros(later.shape)
            return zeros.masked_fill(later, float("-inf"))[:, None, None]

        positions = torch.arange(longest).expand(batch, longest)
        logits = self.advance(ids, positions, cache, seen_from(positions))
        following = logits[torch.arange(batch), lengths - 1].argmax(-1)
        outputs, running = [[] for _ in prompts], [True] * batch
        while any(running):
            for row, token in enumerate(following.tolist()):
                if running[row] and token != eos:
                    outputs[row].append(token)
                if token == eos or lengths[row] >= limit - 1:
                    running[row] = False
            positions = lengths.clamp(max=limit - 1)[:, None]
            logits = self.advance(following[:, None], positions, cache, seen_from(positions))
            following = logits[:, 0].argmax(-1)
            lengths = lengths + 1
        return outputs
