"""Images that go through all steps some at a time, and gradients by images alone: every bit as in one go, with everything kept."""
import numpy as np
import pytest

from tinyvgg import nn
from tinyvgg.kernels.fast import cores, threads
from tinyvgg.kernels.fast.program import Program
from tinyvgg.nn import layers as L
from tinyvgg.nn import plan
from tinyvgg.nn.fused.chunks import OF_EACH_THREAD, InChunks


def mobile():
    stack = [L.InputLayer((9, 10, 3)), L.Conv2D(8, 3, padding="same", use_bias=False), L.BatchNormalization(), L.ReLU(6.0)]
    for filters, strides in ((16, 1), (128, 2)):
        stack += [L.DepthwiseConv2D(3, strides=strides, padding="same"), L.BatchNormalization(), L.LeakyReLU(0.2), L.Conv2D(filters, 1),
                  L.BatchNormalization(), L.ReLU()]
    return nn.Sequential([*stack, L.Conv2D(8, 1), L.AveragePooling2D(2), L.GlobalAveragePooling2D(), L.Dense(3)])


def branches():
    start = nn.Input((12, 11, 1))
    x = L.MaxPooling2D()(L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 5)(start))))
    y = L.BatchNormalization()(L.Conv2D(16, 3, padding="same", activation="sigmoid")(x))
    x = L.Concatenate()([L.Add()([x, y]), L.DepthwiseConv2D((1, 3), padding="same")(x)])
    return nn.Model(start, L.Dense(3)(L.Flatten()(L.Dropout(0.3)(L.ZeroPadding2D(1)(x)))))


def odd():
    return nn.Sequential([L.InputLayer((7, 8, 5)), L.Conv2D(9, (2, 4), padding="same"), L.ELU(), L.Conv2D(8, 3, dilation_rate=2),
                          L.BatchNormalization(), L.Flatten(), L.Dense(3)])


@pytest.fixture(params=[mobile, branches, odd])
def model(request):
    built = request.param()
    draw = np.random.default_rng(3)
    for layer in built.layers:                                      # a scale of either sign, statistics that are not 0 and 1
        for name, array in layer.weights:
            array += (0.5 * draw.standard_normal(array.shape) if "variance" not in name else draw.random(array.shape)).astype(np.float32)
    return built


@pytest.mark.parametrize("count", [1, 3])
def test_every_bit_is_that_of_one_go(model, count, monkeypatch):
    monkeypatch.setenv("TINYVGG_NUM_THREADS", str(count))
    monkeypatch.setattr(threads, "usable_cores", cores.usable_cores)
    monkeypatch.setattr(threads, "_pool", None)
    x = np.random.default_rng(1).random((2 * plan.CHUNK * count + 3, *model.input_shape), dtype=np.float32)
    g = np.random.default_rng(2).standard_normal((len(x), 3)).astype(np.float32)
    in_chunks = model.logits(x), model.vjp(x, lambda logits: g), model.logits(x[:plan.CHUNK * count + 1])
    instances = model._fast_plan()._instances
    assert sum(isinstance(p, InChunks) for i in instances.values() for p in i._programs.values()) == 3
    assert instances[False].arena.used < instances[True].arena.used
    kept = model.forward_logits(x), model.backward_logits(g)
    monkeypatch.setattr(plan, "CHUNK", 64)
    model._fast_plan()._instances.clear()
    whole = model.logits(x), model.vjp(x, lambda logits: g)
    for one in (in_chunks, kept):
        assert np.array_equal(one[0], whole[0]) and np.array_equal(one[1], whole[1])
    assert np.array_equal(in_chunks[2], whole[0][:len(in_chunks[2])])
    assert np.abs(whole[1]).max() > 0


def test_new_weights_reach_every_chunk(model):
    x = np.random.default_rng(1).random((20, *model.input_shape), dtype=np.float32)
    model.logits(x)
    for layer in model.layers:
        for name in layer.parameters:
            layer.parameters[name] = layer.parameters[name] * np.float32(1.1)
    assert np.array_equal(model.logits(x)[16:], model.logits(x[16:]))


def test_workers_share_no_working_space(model, monkeypatch):
    """One may be at any step while the other is at any other."""
    monkeypatch.setenv("TINYVGG_NUM_THREADS", "2")
    monkeypatch.setattr(threads, "usable_cores", lambda: 2)
    monkeypatch.setattr(threads, "_pool", None)
    x = np.random.default_rng(1).random((2 * plan.CHUNK * 2 + 3, *model.input_shape), dtype=np.float32)
    model.vjp(x, lambda logits: np.ones_like(logits))
    programs = [p for i in model._fast_plan()._instances.values() for p in i._programs.values() if isinstance(p, InChunks)]
    assert len(programs) == 2
    for program in programs:
        first, second = program._tables
        for name in OF_EACH_THREAD:
            ends = (first[name] + first[f"{name}_size"])[first[name] != 0]
            assert second[name][first[name] != 0].min(initial=2 ** 62) >= ends.max(initial=0)


def test_an_interrupt_where_a_program_is_laid_out_breaks_nothing(monkeypatch):
    """Ctrl-C just after the steps are laid out: the next call answers as ever."""
    x = np.random.default_rng(0).random((3 * plan.CHUNK, 7, 8, 5), dtype=np.float32)
    untouched, stopped = odd(), odd()
    stopped.set_weights(untouched.get_weights())
    whole = Program._finish

    def once(self):
        whole(self)
        monkeypatch.setattr(Program, "_finish", whole)
        raise KeyboardInterrupt
    monkeypatch.setattr(Program, "_finish", once)
    with pytest.raises(KeyboardInterrupt):
        stopped.logits(x)
    assert np.array_equal(stopped.logits(x), untouched.logits(x))
