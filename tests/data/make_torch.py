"""Write the torch files in this folder: `python make_torch.py`, with torch 2.13 (CPU) installed."""

from pathlib import Path

import torch

HERE = Path(__file__).parent


def main():
    x = torch.arange(24.0).reshape(6, 4)
    nested = {
        "x": x,
        "float16": x.half(),
        "bfloat16": x.bfloat16(),
        "float8_e4m3fn": x.to(torch.float8_e4m3fn),
        "float8_e5m2": x.to(torch.float8_e5m2),
        "transposed": x.t(),
        "permuted": torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
        "window": x[1:5, 1:3],
        "every_second": x[::2, ::2],
        "parameter": torch.nn.Parameter(x),
        "layers": [{"acts": x + 1, "ids": torch.arange(6)}, {"acts": x + 2, "ids": torch.arange(6).to(torch.uint16)}],
        "mask": torch.arange(6) % 2 == 0,
        "names": ["a", "b", "c", "d", "e", "f"],
        "note": {"device": torch.device("cpu"), "dtype": torch.float32, "shape": x.shape, "set": {1}, "bytes": b"x"},
        7: x[0],
    }
    torch.save(nested, HERE / "torch-nested.pt")
    torch.save(nested, HERE / "torch-protocol-4.pt", pickle_protocol=4)
    torch.save(x, HERE / "torch-tensor.pt")
    torch.save(x.expand(3, 6, 4), HERE / "torch-expanded.pt")
    layers = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    with torch.no_grad():
        layers[0].weight.copy_(x[:3])
    torch.save(layers.state_dict(), HERE / "torch-state-dict.pt")
    torch.save({"x": x, "model": layers}, HERE / "torch-module.pt")
    torch.save(x, HERE / "torch-old.pt", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
