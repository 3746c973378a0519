"""The networks of `tools/paper.py`: trained once, one folder each, and their latents of the test images."""

import json
import sys
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from paper_measure import EPSILONS, ROTATIONS, TESTED, measure

from srmfast.errors import InputError
from srmfast.training import load_recipe, train
from srmfast.training.network import layer_basis
from srmfast.whole import whole_file

WIDTH, WIDE = 16, 128  # latent neurons, and those of the hidden layers of large nets
# Epochs of the paper's strips of images: two of the beginning, then every 2, every 5, every 10.
STRIP = (0, *range(2, 21, 2), 25, *range(30, 101, 10))
EPOCHS = {"small-mnist": 60, "large-mnist": 20, "small-cifar": 100, "large-cifar": 50}
SHIFTED = [-0.2613, 1.7387]  # digits as wide as in [−1, 1], with a mean pixel of 0 (their mean is 0.13066 of white)
BATCH = 1000  # images at once through a network
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Net:
    """One network: a shipped recipe with `WIDTH` latent neurons and a basis of `count` vectors.

    `shifted`: the pixels of digits lie in `SHIFTED` and not in [−1, 1].
    """

    recipe: str
    count: int
    seed: int
    epochs: int
    activation: str = "generalised-tanh"
    shifted: bool = False

    @property
    def name(self):
        kind = "" if self.activation == "generalised-tanh" else f"-{self.activation}"
        kind += "-shifted" if self.shifted else ""
        return f"{self.recipe}{kind}-b{self.count}-s{self.seed}"  # a longer training goes on in the same folder

    @property
    def group(self):
        """What it has in common with the nets of other seeds."""
        return self.name.rpartition("-s")[0]

    @property
    def changes(self):
        """Return what differs from the recipe."""
        stages = sorted({0, self.epochs} | ({epoch for epoch in STRIP if epoch < self.epochs} if self.strip else set()))
        return {
            "n": WIDTH, **({"wide": WIDE} if "large" in self.recipe else {}), "basis.count": self.count, "basis.seed": self.seed, "activation.kind": self.activation,
            "training.checkpoints": stages, **({"data.scale": SHIFTED} if self.shifted else {}),
        }  # fmt: skip

    @property
    def strip(self):
        """Whether it leaves checkpoints all the way."""
        return self.recipe == "small-mnist" and self.count == 32


@dataclass(frozen=True)
class Bench:
    """Where the images are and where everything made of them goes."""

    data: object  # Path
    out: object  # Path
    rotations: int = ROTATIONS  # that a basis is compared with
    say: object = lambda line: print(line, file=sys.stderr, flush=True)

    def folder(self, net):
        return self.out / "nets" / net.name

    def trained(self, net):
        """Train a net unless that is done, from where it was left if it was stopped; return its folder."""
        folder = self.folder(net)
        path = folder / f"epoch-{net.epochs:04}.onnx"
        if not path.is_file():
            folder.parent.mkdir(parents=True, exist_ok=True)
            self.say(f"training {net.name}")
            made = train(
                net.recipe, folder, changes=net.changes, data=self.data, seed=net.seed, epochs=net.epochs, resume=True
            )
            self.say(f"  loss {made.log[-1][1]:.4f}, on the rows to test on {made.log[-1][2]:.4f}")
        if not path.is_file():
            raise InputError(
                f"{folder} holds a training of more than {net.epochs} epochs; use more --epochs or another -o"
            )
        return folder

    def basis(self, net):
        """Return the basis of the activation function behind the latent layer, (k, n).

        That of isotropic tanh is none: it is looked at in the one that generalised tanh with the same seed has. That of
        the elementwise tanh is ±e_i.
        """
        if net.activation == "tanh":
            return np.concatenate([np.eye(WIDTH), -np.eye(WIDTH)])
        path = self.trained(net) / "basis.npy"
        if path.is_file():
            return np.load(path)
        twin = load_recipe(net.recipe, net.changes | {"activation.kind": "generalised-tanh"})
        return layer_basis(twin, WIDTH, WIDTH, 1).vectors

    def latents(self, net, epoch=None):
        """Return the latents of the test images behind an epoch, the last one when omitted, (n, WIDTH) float32."""
        epoch = net.epochs if epoch is None else epoch
        path = self.trained(net) / f"latents-{epoch:04}.npy"
        if not path.is_file():
            rows = run_model(path.with_name(f"epoch-{epoch:04}.onnx"), images(self.data, net.recipe)[0])
            with whole_file(path) as file:
                np.save(file, rows)
        return np.load(path)

    def losses(self, net):
        """Return the mean squared error on the rows to test on, by epoch."""
        lines = (self.trained(net) / "log.csv").read_text().splitlines()[1:]
        return {int(line.split(",")[0]): float(line.split(",")[2]) for line in lines}

    def measured(self, net, epoch=None, *, rotations=None):
        """Return the numbers of `tools/paper_measure.py` for a net behind an epoch; those at hand are not made again."""
        epoch = net.epochs if epoch is None else epoch
        rotations = self.rotations if rotations is None else rotations
        path = self.trained(net) / f"measured-{epoch:04}.json"
        settings = {"epsilons": list(EPSILONS), "tested": list(TESTED)}
        if path.is_file():
            found = json.loads(path.read_text())
            if found["settings"] == settings and found["rotations"] >= rotations:
                return found["numbers"]
        numbers = measure(self.latents(net, epoch), self.basis(net), seed=net.seed, rotations=rotations)
        with whole_file(path) as file:
            file.write(json.dumps({"settings": settings, "rotations": rotations, "numbers": numbers}).encode())
        return numbers


def images(folder, recipe):
    """Load the test images that the latents are of: rows of pixels, labels and what they are called.

    For MNIST all 10,000 test digits; for CIFAR-10 all 10,000 test images as they are at hand, lossy JPEG.
    """
    if "mnist" in recipe:
        held = np.load(folder / "mnist_full.npz")
        return held["x_test"].reshape(len(held["y_test"]), -1), held["y_test"], DIGITS
    from PIL import Image

    held = np.load(folder / "cifar10_test10000_jpeg.npz")
    names = tuple(map(str, np.load(folder / "cifar10_train4000_exact.npz")["classes"]))
    ends, whole = held["offsets"], held["jpeg"]
    pixels = [np.asarray(Image.open(BytesIO(whole[a:b].tobytes()))) for a, b in zip(ends[:-1], ends[1:], strict=True)]
    return np.stack(pixels).reshape(len(pixels), -1), held["y"], names


def run_model(path, pixels):
    """Return the tensor "latent" of a checkpoint for rows of pixels."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape[1:]
    parts = [pixels[start : start + BATCH].reshape(-1, *shape) for start in range(0, len(pixels), BATCH)]
    return np.concatenate([session.run(["latent"], {session.get_inputs()[0].name: part})[0] for part in parts])
