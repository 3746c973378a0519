"""Write anndata.h5ad and anndata-sparse.h5ad: `python make_anndata.py`, with anndata 0.12 installed."""

from pathlib import Path

import anndata
import numpy as np
import pandas
import scipy.sparse

HERE = Path(__file__).parent


def main():
    x = np.arange(35, dtype=np.float32).reshape(7, 5)
    obs = pandas.DataFrame(
        {
            "louvain": pandas.Categorical(["b", "a", None, "b", "a", "a", "b"]),
            "batch": pandas.Categorical([10, 20, 10, 10, 20, 20, 10]),
            "word": ["u", "v", "w", "u", "v", "w", "u"],
            "score": np.linspace(0, 1, 7),
            "keep": [True, False, True, True, True, False, True],
            "count": pandas.array([1, 2, None, 4, 5, 6, 7], dtype="Int64"),
            "whole": pandas.array([1, 2, 3, 4, 5, 6, 7], dtype="Int64"),
        },
        index=[f"cell-{i}" for i in range(7)],
    )
    data = anndata.AnnData(x, obs=obs)
    data.layers["counts"] = x + 100
    data.obsm["X_pca"] = x[:, :3] * 2
    data.write_h5ad(HERE / "anndata.h5ad")
    sparse = anndata.AnnData(scipy.sparse.csr_matrix(x), obs=obs[["louvain"]])
    sparse.layers["columns"] = scipy.sparse.csc_matrix(x)
    sparse.layers["dense"] = x
    sparse.write_h5ad(HERE / "anndata-sparse.h5ad")


if __name__ == "__main__":
    main()
