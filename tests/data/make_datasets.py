"""Write the folder `datasets-activations`: `python make_datasets.py`, with datasets 5.2 installed."""

import shutil
from pathlib import Path

import datasets
import numpy as np

HERE = Path(__file__).parent


def main():
    features = datasets.Features(
        {
            "blocks.0.hook_mlp_out": datasets.Array2D((4, 3), "float16"),
            "token_ids": datasets.Sequence(datasets.Value("int32"), 4),
            "language": datasets.ClassLabel(names=["en", "fr"]),
            "source": datasets.Value("string"),
        }
    )
    acts = np.arange(11 * 4 * 3, dtype=np.float16).reshape(11, 4, 3)
    rows = {
        "blocks.0.hook_mlp_out": acts,
        "token_ids": np.arange(44, dtype=np.int32).reshape(11, 4),
        "language": [0, 1] * 5 + [0],
        "source": [f"document {i // 3}" for i in range(11)],
    }
    folder = HERE / "datasets-activations"
    shutil.rmtree(folder, ignore_errors=True)
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(folder, num_shards=2)


if __name__ == "__main__":
    main()
