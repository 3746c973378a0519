"""Ask which neurons of a layer of word vectors answer to which category of words, beside two other bases and random rotations.

    python tools/measure_categories.py zappi3_activations_500.npz --categories zappi3_categories.txt -o categories.json

The file holds `vectors` (words, width) and `token_counts` (words,): the vector of a word is that of its last token. The first token
of a sequence is an attention sink, whose vector hardly depends on what it is: words of one token are another kind of rows, and a
category of short words could be told by that alone. So subsets are looked at apart:

    all          every word, as stored, without the massive coordinate (`--without`)
    longer       words of two tokens or more, their mean subtracted
    two tokens   words of exactly two tokens, their mean subtracted: here the number of tokens can tell nothing
    one token    words of one token, their mean subtracted

For each: how many cones about ±b_i have a category with a permutation p ≤ 0.05, corrected for all cones and categories, in the basis
of the neurons, in principal directions of the rows, and in a random orthonormal basis; and whether the best cone for a category is
better than that of random rotations of the basis (`srmfast neurons --null`).
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from measure_models import rounded, say

import srmfast
from srmfast.selectivity import UNLABELLED

EPSILON = 0.1
LEVEL = 0.05
LISTED = 12


def main(argv=None):
    """Parse, measure, write; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("vectors", type=Path, metavar="F.npz")
    parser.add_argument("--categories", type=Path, required=True, metavar="F.txt", help="one line a word")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="F.json")
    parser.add_argument("--name", default="", help="of the model")
    parser.add_argument("--without", default="", metavar="C[,C…]", help="coordinates left out of `all` and `one token`")
    parser.add_argument("--subsets", default="all,longer,two tokens,one token", metavar="S[,S…]")
    parser.add_argument(
        "--least", type=int, default=5, metavar="N", help="words of a category in a subset, or it is none (default 5)"
    )
    parser.add_argument("--null", type=int, default=99, metavar="M", help="rotations (default 99)")
    parser.add_argument("--permutations", type=int, default=999, metavar="M")
    parser.add_argument("--threads", type=int, metavar="N")
    options = parser.parse_args(argv)
    for path in (options.vectors, options.categories):
        if not path.is_file():
            parser.error(f"the file must exist, got {path}")
    with np.load(options.vectors, allow_pickle=False) as held:
        rows, tokens = held["vectors"], held["token_counts"].astype(int)
    category = np.array(options.categories.read_text(encoding="utf-8").split("\n")[: len(rows)])
    out = [int(c) for c in options.without.split(",") if c]
    subsets = {
        "all": (np.ones(len(rows), bool), out, False),
        "longer": (tokens > 1, [], True),
        "two tokens": (tokens == 2, [], True),
        "one token": (tokens == 1, out, True),
    }
    numbers = {
        "name": options.name,
        "words": len(rows),
        "width": rows.shape[1],
        "epsilon": EPSILON,
        "without": out,
        "subsets": {},
    }
    numbers |= {"rotations": options.null, "permutations": options.permutations}
    numbers["tokens"] = {str(n): int((tokens == n).sum()) for n in np.unique(tokens)}
    for name in options.subsets.split(","):
        keep, gone, centre = subsets[name]
        numbers["subsets"][name] = subset(np.delete(rows[keep], gone, axis=1), category[keep], gone, centre, options)
        options.out.write_text(json.dumps(rounded(numbers), separators=(",", ":")) + "\n")
    return 0


def subset(rows, category, gone, centre, options):
    """Return the numbers of some words, in three bases."""
    stay = np.delete(np.arange(rows.shape[1] + len(gone)), gone)  # neurons by their number in the model
    middle = rows - rows.mean(axis=0, dtype=np.float64)
    directions = np.linalg.svd(middle, full_matrices=False)[2][: len(rows) - 1]
    unit = middle / np.linalg.norm(middle, axis=1, keepdims=True)
    names, place, size = np.unique(category, return_inverse=True, return_counts=True)
    category = np.where(size[place] < options.least, UNLABELLED, category)  # still words that are of no other category
    names, size = names[size >= options.least], size[size >= options.least]
    found = {
        "rows": len(rows), "width": rows.shape[1], "centred": centre, "categories": dict(zip(names.tolist(), size.tolist(), strict=True)),
        "offset": float(np.linalg.norm(rows.mean(axis=0, dtype=np.float64)) / np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1).mean())),
        "alike": alike(unit, category), "bases": {},
    }  # fmt: skip
    bases = {
        "neurons": "standard",
        "principal": np.ascontiguousarray(directions, np.float64),
        "random": f"random:{rows.shape[1]}",
    }
    for name, basis in bases.items():
        began = time.process_time()
        null = 0 if name == "random" else options.null
        told = srmfast.neurons(
            rows, basis, epsilon=EPSILON, labels=category, centre=centre, null=null, permutations=options.permutations,
            threads=options.threads,
        )  # fmt: skip
        found["bases"][name] = numbers_of(told, stay if name == "neurons" else None)
        say(f"{len(rows)} words, {name}: {time.process_time() - began:.0f} CPU seconds")
    return found


def alike(unit, category):
    """Return the mean cosine of two different words of one category, and of two categories."""
    cosines = unit @ unit.T
    same = category[:, None] == category
    other = ~np.eye(len(unit), dtype=bool)
    return [float(cosines[same & other].mean()), float(cosines[~same].mean())]


def numbers_of(told, stay):
    """Return how many cones answer to a category, which, and the test against rotations."""
    few = (told.p <= LEVEL) & (told.label != UNLABELLED)[:, None, None]  # (c, k, 2)
    significant = few.any(axis=0)
    where = {str(name): int(few[c].sum()) for c, name in enumerate(told.label)}
    number = (lambda i: i) if stay is None else (lambda i: int(stay[i]))
    found = {
        "cones": int(significant.size), "held": int((told.inside.sum(axis=0) > 0).sum()), "significant": int(significant.sum()),
        "pairs": int(few.sum()), "by_category": {name: count for name, count in where.items() if count},
        "best_f1": float(told.f1()[told.label != UNLABELLED].max()),
        "table": [
            {key: row[key] for key in ("pole", "label", "f1", "precision", "recall", "inside", "p")} | {"vector": number(row["vector"])}
            for row in told.table(400) if row["p"] <= LEVEL
        ][:LISTED],
    }  # fmt: skip
    if told.null_f1 is not None:
        test = told.rotation_test()
        found["rotated"] = {way: contested(getattr(test, way), number) for way in ("own", "fixed")}
        found["rotated"]["vectors"] = test.vectors
    return found


def contested(kind, number):
    """Return the numbers of a `srmfast.rotation_test.Contested`."""
    return {
        "verdict": kind.verdict, "p": kind.p, "p_more": kind.p_more, "p_less": kind.p_less, "f1": kind.f1, "rotated": list(kind.rotated),
        "classes": [
            {"label": best.label, "vector": number(best.vector), "pole": best.pole, "epsilon": best.epsilon, "f1": best.f1,
             "rotated": list(best.rotated), "p_more": best.p_more, "p_less": best.p_less}
            for best in kind.classes
        ],
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
