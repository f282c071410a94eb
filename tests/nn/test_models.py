"""Networks: the four architectures, logits and vjp, graphs, shared layers, and what is said to a wrong input."""
import copy
import pickle
import threading

import numpy as np
import pytest

from tinyvgg import errors, kernels, models, nn, testing
from tinyvgg.nn import layers
from tinyvgg.nn.graph import call_names

COUNTS = {"light": (409_418, 24_625_792), "base": (1_344_042, 32_609_280), "notebook": (378_122, 101_012_480),
          "resnet8": (78_666, 12_501_632), "teacher": (1_944_298, 114_133_504)}


def images(n, shape=(32, 32, 3), seed=0):
    return np.random.default_rng(seed).random((n, *shape), dtype=np.float32)


@pytest.mark.parametrize("name", COUNTS)
def test_architecture(name):
    model = models.build(name)
    assert (model.count_params(), nn.count_macc(model)) == COUNTS[name]
    twin = nn.model_from_config(model.get_config(), seed=1)
    twin.set_weights(model.get_weights())
    x = images(2)
    np.testing.assert_array_equal(twin.logits(x), model.logits(x))
    assert type(twin) is type(model) and "parameters" in nn.summary_text(model)


def test_summary_prints_as_in_keras(capsys):
    """Typed as it is or within print(): the table once."""
    model, lines = models.light(), []
    assert model.summary() is None
    typed = capsys.readouterr().out
    exec("print(model.summary())", {"model": model})
    printed = capsys.readouterr().out
    assert typed == nn.summary_text(model) + "\n" and printed == typed + "None\n"
    assert typed.count("409,418 parameters") == 1
    model.summary(print_fn=lines.append)
    assert lines == [nn.summary_text(model)] and not capsys.readouterr().out


def test_seed_decides_the_weights():
    a, b, c = models.resnet8(seed=1), models.resnet8(seed=1), models.resnet8(seed=2)
    assert all((x == y).all() for x, y in zip(a.get_weights(), b.get_weights(), strict=True))
    assert not all((x == y).all() for x, y in zip(a.get_weights(), c.get_weights(), strict=True))


@pytest.mark.parametrize("ending", [[layers.Dense(4, activation="softmax")], [layers.Dense(4), layers.Softmax()],
                                    [layers.Dense(4), layers.Activation("softmax")], [layers.Dense(4)]], ids=str)
def test_logits_come_before_a_final_softmax(ending):
    ending = copy.deepcopy(ending)
    chain = nn.Sequential([layers.InputLayer((3, 3, 1)), layers.Flatten(), *ending], seed=3)
    graph_input = nn.Input((3, 3, 1))
    node = layers.Flatten()(graph_input)
    for layer in copy.deepcopy(ending):
        node = layer(node)
    graph = nn.Model(graph_input, node, seed=3)
    graph.set_weights(chain.get_weights())
    x = images(5, (3, 3, 1))
    plain = x.reshape(5, 9) @ chain.get_weights()[0] + chain.get_weights()[1]
    for model in (chain, graph):
        np.testing.assert_allclose(model.logits(x), plain, rtol=1e-5, atol=1e-6)
        assert model.ends_in_softmax == (len(ending) > 1 or ending[0].activation.name == "softmax")
        expected = kernels.softmax(plain) if model.ends_in_softmax else plain
        np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.forward(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["light", "resnet8"])
@pytest.mark.parametrize("backend", ["reference", "fast"])
def test_vjp_of_whole_networks(name, backend):
    model = models.build(name).astype(np.float64)
    generator = np.random.default_rng(0)
    with kernels.use(backend):
        testing.check_gradient(lambda v: model.logits(v), lambda dy: model.vjp(x, dy), x := generator.random((2, 32, 32, 3)),
                               generator)


def test_vjp_batches_and_functions():
    model, x = models.resnet8(), images(5)
    g = np.random.default_rng(1).standard_normal((5, 10)).astype(np.float32)
    whole = model.vjp(x, g)
    np.testing.assert_allclose(model.vjp(x, g, batch_size=2), whole, rtol=1e-4, atol=1e-6)
    seen = []
    np.testing.assert_array_equal(model.vjp(x, lambda logits: (seen.append(logits), g)[1]), whole)
    np.testing.assert_allclose(seen[0], model.logits(x), rtol=1e-5, atol=1e-6)


def test_shared_layer_sums_its_gradients():
    start, shared = nn.Input((4,)), layers.Dense(4, activation="tanh")
    model = nn.Model(start, layers.Dense(2)(shared(shared(start)))).astype(np.float64)
    x = np.random.default_rng(0).standard_normal((3, 4))
    layer = model.layers[1]
    for name in ("kernel", "bias"):
        def function(value, name=name):
            layer.parameters[name] = value
            return model.forward(x)
        testing.check_gradient(function, lambda dy, name=name: (model.backward(dy), layer.gradients[name])[1],
                               layer.parameters[name], np.random.default_rng(1))
    assert model.count_params() == 20 + 10


def test_branches_that_meet():
    start = nn.Input((6, 6, 2))
    a = layers.Conv2D(3, 3, padding="same")(start)
    b = layers.Activation("relu")(a)
    joined = layers.Concatenate()([layers.Add()([a, b]), b, start])
    model = nn.Model(start, layers.Dense(3)(layers.GlobalAveragePooling2D()(joined)), input_range=(-5, 5)).astype(np.float64)
    x = np.random.default_rng(0).standard_normal((2, 6, 6, 2))
    testing.check_gradient(model.logits, lambda dy: model.vjp(x, dy), x, np.random.default_rng(1))


def test_threads_do_not_disturb_each_other():
    model, batches = models.light(), [images(4, seed=s) for s in range(4)]
    g = np.ones((4, 10), np.float32)
    expected = [model.vjp(b, g) for b in batches]
    wrong = []

    def work(i):
        for _ in range(3):
            if not np.allclose(model.vjp(batches[i], g), expected[i], rtol=1e-4, atol=1e-6):
                wrong.append(i)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_a_model_survives_pickle_and_deepcopy():
    model, x = models.resnet8(), images(1)
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(twin.logits(x), model.logits(x))


def test_a_deep_chain_is_copied_without_recursion():
    chain = nn.Sequential([layers.InputLayer((2,)), *(layers.Dense(2) for _ in range(400))])
    x = images(3, (2,))
    for twin in (pickle.loads(pickle.dumps(chain)), copy.deepcopy(chain), chain.astype(np.float32)):
        np.testing.assert_array_equal(twin.logits(x), chain.logits(x))
        assert twin.layers[1] is twin.nodes[1].layer is not chain.layers[1] and twin.layers[-1] is twin.output.layer


@pytest.mark.parametrize("options", [{"name": "image"}, {}], ids=str)
def test_a_chain_is_a_model_whose_nodes_follow_each_other(options):
    chain = nn.Sequential([layers.Dense(3, input_shape=(4,), **options), layers.Dropout(0.5), layers.Dense(2)])
    assert [n.inputs for n in chain.nodes[1:]] == [(n,) for n in chain.nodes[:-1]]
    assert len(set(call_names(chain.nodes).values())) == 4
    assert [row["name"] for row in nn.summary_rows(chain)] == [layer.name for layer in chain.layers]
    assert nn.count_macc(chain) == 4 * 3 + 3 * 2


def test_a_network_of_nothing_but_a_softmax():
    start = nn.Input((6,))
    x = np.random.default_rng(0).random((3, 6), dtype=np.float32)
    for model in (nn.Model(start, layers.Softmax()(start)), nn.Sequential([layers.InputLayer((6,)), layers.Softmax()])):
        np.testing.assert_array_equal(model.logits(x), x)
        np.testing.assert_array_equal(model.predict(x), kernels.softmax(x))
        np.testing.assert_array_equal(model.vjp(x, x), x)
        model.forward(x, training=True)
        np.testing.assert_array_equal(model.backward(x), kernels.softmax_backward(x, x))


def test_a_softmax_that_is_used_twice_ends_the_network():
    """In Keras' order of layers the shared softmax is not the last one."""
    start, softmax = nn.Input((3,)), layers.Softmax()
    dense = layers.Dense(3)
    model = nn.Model(start, softmax(dense(softmax(start))))
    assert model.layers[-1] is dense and model.ends_in_softmax
    x = images(4, (3,))
    logits = kernels.softmax(x) @ dense.parameters["kernel"]
    np.testing.assert_allclose(model.logits(x), logits, rtol=1e-5)
    np.testing.assert_allclose(model.predict(x), kernels.softmax(logits), rtol=1e-5)


def test_no_images_is_an_answer_too():
    assert models.light().logits(np.zeros((0, 32, 32, 3), np.float32)).shape == (0, 10)


def used_twice(layer, first, second):
    """A network with one layer on two branches of so many channels."""
    x = nn.Input((4, 4, 3))
    return nn.Model(x, layers.Concatenate()([layer(layers.Conv2D(n, 1)(x)) for n in (first, second)]))


@pytest.mark.parametrize("make, words", [
    (lambda: layers.Conv2D(3, 3, filter=4), ["Conv2D", "'filter'", "filters"]),
    (lambda: layers.Conv2D(0, 3), ["filters is 0"]),
    (lambda: layers.Conv2D(3, (3, 3, 3)), ["kernel_size", "pair"]),
    (lambda: layers.Conv2D(3, 3, padding="full"), ["padding is 'full'", "'same'"]),
    (lambda: layers.Conv2D(3, 3, strides=2, dilation_rate=2), ["strides", "dilation_rate"]),
    (lambda: layers.Dense(3, activation="rellu"), ["rellu", "relu"]),
    (lambda: layers.Dense(3, kernel_initializer="xavier"), ["xavier", "glorot_uniform"]),
    (lambda: layers.Dropout(1.0), ["rate is 1.0"]),
    (lambda: layers.BatchNormalization(momentum=2), ["momentum"]),
    (lambda: nn.Sequential([]), ["one or more layers"]),
    (lambda: layers.Dense(3, activation=["relu"]), ["['relu']", "expected one of"]),
    (lambda: layers.Dense(3, kernel_initializer=[]), ["initializer []"]),
    (lambda: layers.Dropout("half"), ["rate is 'half'"]),
    (lambda: layers.BatchNormalization(epsilon=None), ["epsilon is None"]),
    (lambda: layers.LeakyReLU("a"), ["negative_slope is 'a'"]),
    (lambda: layers.ReLU("6"), ["max_value is '6'"]),
    (lambda: layers.Reshape(8), ["target_shape is 8"]),
    (lambda: layers.InputLayer(3), ["input_shape is 3"]),
    (lambda: nn.Sequential([layers.InputLayer((4,))]), ["no layer after it"]),
    (lambda: nn.Model(*[nn.Input((3,))] * 2), ["input itself"]),
    (lambda: used_twice(layers.BatchNormalization(), 2, 4), ["BatchNormalization", "built for 2"]),
    (lambda: used_twice(layers.PReLU(), 2, 4), ["PReLU", "built for (4, 4, 2)"]),
    (lambda: used_twice(layers.Conv2D(2, 1), 2, 4), ["Conv2D", "built for 2"]),
    (lambda: used_twice(layers.Dense(2), 2, 4), ["Dense", "built for 2"]),
    (lambda: nn.Sequential([layers.Dense(3)]), ["shape of the images", "InputLayer"]),
    (lambda: nn.Sequential([layers.InputLayer((4, 4, 3)), layers.MaxPooling2D(8)]), ["MaxPooling2D", "no pixel is left"]),
    (lambda: nn.Sequential([layers.InputLayer((4,)), layers.Conv2D(3, 3)]), ["Conv2D", "(H, W, C)"]),
    (lambda: nn.Sequential([layers.InputLayer((4,)), layers.Dense(3, name="a"), layers.Dense(3, name="a")]), ["'a'", "names"]),
    (lambda: layers.Add()([nn.Input((3,)), nn.Input((4,))]), ["Add", "equal shapes"]),
    (lambda: nn.Model([nn.Input((3,)), nn.Input((4,))], nn.Input((3,))), ["one input"]),
    (lambda: layers.Dense(3)(np.zeros(3)), ["expected a node"]),
    (lambda: models.build("lite"), ["lite", "light"]),
    (lambda: models.light().logits(np.zeros((2, 3, 32, 32), np.float32)), ["(2, 3, 32, 32)", "transpose(0, 2, 3, 1)"]),
    (lambda: models.light().logits(np.zeros((32, 32, 3), np.float32)), ["x[None]"]),
    (lambda: models.light().logits(np.zeros((2, 32, 32, 3), np.int64)), ["int64", "x.astype(np.uint8)"]),
    (lambda: models.light().logits(np.zeros((2, 32, 32, 3), "S1")), ["dtype"]),
    (lambda: models.light().vjp(np.zeros((2, 32, 32, 3), np.float32), np.zeros((2, 9))), ["g has shape (2, 9)"]),
    (lambda: models.light().vjp(np.zeros((1, 32, 32, 3), np.float32), np.full((1, 10), np.nan)), ["g has NaN or infinite values"]),
    (lambda: models.light().set_weights([]), ["0 arrays"]),
    (lambda: models.light(seed=-1), ["seed"]),
    (lambda: nn.model_from_config({"layers": [{"class_name": "ConvLSTM2D", "config": {}}]}), ["ConvLSTM2D"]),
    (lambda: nn.model_from_config({"class_name": "Sequential", "layers": 3}), ["damaged"]),
    (lambda: kernels.use("quick"), ["quick", "reference"]),
])
def test_a_wrong_input_gets_a_sentence(make, words):
    with pytest.raises(errors.TinyVGGError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)
