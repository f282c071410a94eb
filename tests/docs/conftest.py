"""A folder with the files that pages speak of: a small CIFAR-10 of random images, networks, a report by X-CUBE-AI's layout."""
import numpy as np
import pytest

from tests.docs.pages import ROOT
from tests.xcubeai import samples


def write_cifar10(folder, generator, *, train=1100, test=40):
    """The binary layout: a byte of label, 3,072 of the image, planes first. Brightness follows the label a little."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [(f"data_batch_{i}.bin", train // 5) for i in range(1, 6)] + [("test_batch.bin", test)]
    for name, n in names:
        y = generator.permutation(np.arange(n) % 10).astype(np.uint8)
        x = generator.integers(0, 128, (n, 3, 32, 32)) + 12 * y[:, None, None, None]
        np.concatenate([y[:, None], x.reshape(n, -1).astype(np.uint8)], axis=1).tofile(folder / name)
    (folder / "batches.meta.txt").write_text("airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """The folder; each test works in a copy of it."""
    from tinyvgg import models, train, zoo
    from tinyvgg.quant import quantize
    folder = tmp_path_factory.mktemp("pages")
    generator = np.random.default_rng(0)
    write_cifar10(folder / "data" / "cifar-10-batches-bin", generator)
    model = zoo.load("light_cifar10")
    adam = train.Adam()
    x = generator.integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    train.fit(model, x.astype(np.float32) / 255, np.arange(32) % 10, epochs=1, optimizer=adam, learning_rate=None, quiet=True)
    model = zoo.load("light_cifar10")
    model.save(folder / "light.h5", optimizer=adam)
    for name in ("other.h5", "theirs.h5", "old_keras2.h5", "third.h5", "in.h5", "out.h5"):
        model.save(folder / name)
    models.light(seed=1).save(folder / "other.weights.h5")
    models.build("base").save(folder / "base.h5")
    for report in (folder / "report.txt", folder / "App" / "network_generate_report.txt"):
        report.parent.mkdir(exist_ok=True)
        report.write_text(samples.V8)
    quantize(model, x).save(folder / "light.tvq")
    np.save(folder / "x.npy", x)
    return folder


@pytest.fixture
def place(prepared, tmp_path, monkeypatch):
    """A copy of the prepared folder as the current one, its CIFAR-10 in $TINYVGG_DATA, the repository's folders beside it."""
    import shutil
    folder = tmp_path / "place"
    shutil.copytree(prepared, folder)
    for name in ("benchmarks", "tests", "docs", "tinyvgg", "codegen", "firmware"):
        (folder / name).symlink_to(ROOT / name)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TINYVGG_DATA", str(folder / "data"))
    return folder
