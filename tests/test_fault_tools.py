"""The tools that kill runs and damage files, on a few of each: whole campaigns are theirs."""

import pytest

from tools import kill_runs, mutate_files, simulate_workers


def test_killed_runs_count_the_same():
    said = []
    kills, runs, wrong = kill_runs.campaign(4, seed=1, formats=("npy", "zarr"), say=said.append)
    assert kills >= 4 and runs and not wrong, said
    assert all(line.rstrip().endswith("same counts") for line in said), said  # and nothing is left beside the result


@pytest.mark.parametrize(
    "kind", ["npy", "zarr-sharded", "h5", "pt", "onnx", "onnx-external", "result", "checkpoint", "part"]
)
def test_damaged_files_are_one_line_or_the_right_counts(kind, srmfast_env, monkeypatch):
    for name, value in srmfast_env.items():
        monkeypatch.setenv(name, value)
    said = []
    outcomes = mutate_files.campaign(kind, 20, say=said.append)
    assert not sum(outcomes[bad] for bad in mutate_files.BAD), said
    assert outcomes["refused"] and sum(outcomes[kept] for kept in ("refused", "same", "values")) == 20


def test_growth_is_simulated_within_what_is_possible():
    times = simulate_workers.Times(read=4e8, count=2e8, task=2e-3, add=5e8, send=1e8, tally=3e7)
    alone = simulate_workers.simulate(times, 1, 1e11, 2e9)
    assert alone == pytest.approx(1e11 * (1 / 4e8 + 1 / 2e8), rel=0.05)
    for workers in simulate_workers.WORKERS:
        seconds = simulate_workers.simulate(times, workers, 1e11, 2e9)
        assert max(alone / workers, 1e11 / 2e9) * 0.99 <= seconds <= alone * 1.01
    lines = simulate_workers.table(times, 1e11, [2e9])
    assert len(lines) == 2 + len(simulate_workers.WORKERS) + 2 and "saturated by 15 workers" in lines[-1]
