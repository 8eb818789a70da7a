"""GPT-2 in JAX, for training: its initial weights, its loss, and its tensors as Hugging Face names them."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hdl.model.network import Network

__all__ = ["initial", "loss", "tensors"]

Parameters = dict[str, Any]

SPREAD = 0.02
"""Of the initial weights, as in GPT-2; those of the branches' last operators are divided by sqrt(2 layers)."""


def initial(spec: Network, seed: int) -> Parameters:
    """Weights before training: tables, ``norm``, and ``layers`` stacked along their first axis; weights [inputs,
    outputs]."""
    keys = iter(jax.random.split(jax.random.PRNGKey(seed), 6))
    hidden, inner, layers = spec.hidden, spec.intermediate, spec.layers

    def dense(inputs: int, outputs: int, spread: float) -> Parameters:
        weight = spread * jax.random.normal(next(keys), (layers, inputs, outputs))
        return {"weight": weight, "bias": jnp.zeros((layers, outputs))}

    def norm(*shape: int) -> Parameters:
        return {"weight": jnp.ones((*shape, hidden)), "bias": jnp.zeros((*shape, hidden))}

    last = SPREAD / np.sqrt(2 * layers)
    return {
        "wte": SPREAD * jax.random.normal(next(keys), (spec.vocabulary, hidden)),
        "wpe": SPREAD / 2 * jax.random.normal(next(keys), (spec.max_positions, hidden)),
        "norm": norm(),
        "layers": {
            "ln_1": norm(layers),
            "attn.c_attn": dense(hidden, 3 * hidden, SPREAD),
            "attn.c_proj": dense(hidden, hidden, last),
            "ln_2": norm(layers),
            "mlp.c_fc": dense(hidden, inner, SPREAD),
            "mlp.c_proj": dense(inner, hidden, last),
        },
    }


@partial(jax.jit, static_argnums=2)
def loss(parameters: Parameters, tokens: jax.Array, spec: Network) -> jax.Array:
    """The mean negative log likelihood, in nats, of tokens 1.. of texts [texts, tokens], given those before."""
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    length = inputs.shape[1]
    causal = jnp.tril(jnp.ones((length, length), dtype=bool))

    def layer(x: jax.Array, own: Parameters) -> tuple[jax.Array, None]:
        qkv = _dense(_norm(x, own["ln_1"], spec), own["attn.c_attn"])
        heads = qkv.reshape(*qkv.shape[:2], 3, spec.heads, -1)
        query, key, value = (heads[:, :, part].swapaxes(1, 2) for part in range(3))
        scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
        attended = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf)) @ value
        x = x + _dense(attended.swapaxes(1, 2).reshape(x.shape), own["attn.c_proj"])
        inner = jax.nn.gelu(_dense(_norm(x, own["ln_2"], spec), own["mlp.c_fc"]), approximate=True)
        return x + _dense(inner, own["mlp.c_proj"]), None

    x = parameters["wte"][inputs] + parameters["wpe"][:length]
    x, _ = jax.lax.scan(layer, x, parameters["layers"])
    logits = _norm(x, parameters["norm"], spec) @ parameters["wte"].T
    likelihood = jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], axis=-1)
    return -likelihood.mean()


def tensors(parameters: Parameters) -> dict[str, np.ndarray]:
    """The weights in half precision by their names in a Hugging Face checkpoint."""
    found = {"wte.weight": parameters["wte"], "wpe.weight": parameters["wpe"]}
    for name, operator in parameters["layers"].items():
        for part, stacked in operator.items():
            found |= {f"h.{index}.{name}.{part}": array for index, array in enumerate(stacked)}
    found |= {f"ln_f.{part}": array for part, array in parameters["norm"].items()}
    return {f"transformer.{name}": np.asarray(array, dtype=np.float16) for name, array in found.items()}


def _dense(x: jax.Array, own: Parameters) -> jax.Array:
    return x @ own["weight"] + own["bias"]


def _norm(x: jax.Array, own: Parameters, spec: Network) -> jax.Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / jnp.sqrt(variance + spec.norm_eps) * own["weight"] + own["bias"]
