"""The calibration behind docs/verdict.md, at toy size: exact where nothing is planted, and it finds what is."""

import json

import numpy as np
import pytest

from tools import calibrate


def test_a_nominal_level_is_kept_and_what_is_planted_is_found():
    bench = calibrate.Bench(6)
    for name in ("power law", "large mean"):
        found = sum(calibrate.replicate(bench, name, number).any(axis=1).astype(int) for number in range(60))
        assert found.max() <= 10  # nominal 3; more is less likely than 1 in 1,000
    wide = calibrate.Bench(calibrate.POWER_WIDTH)
    for curve, (direction, *_) in calibrate.CURVES.items():
        side = ("aligned", "anti-aligned").index(direction)
        found = sum(calibrate.find_planted(wide, curve, 0.5, number) for number in range(4))
        assert found[side] == 4 and found[1 - side] == 0, curve


def test_a_stopped_calibration_goes_on_and_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "WIDTHS", (6,))
    monkeypatch.setattr(calibrate, "BATCH", 2)
    monkeypatch.setattr(calibrate, "STRENGTHS", (0.0, 0.4))
    path, whole = tmp_path / "state.json", tmp_path / "whole.json"
    calibrate.main(["run", str(path), "--replications", "2", "--power", "1"])
    calibrate.main(["run", str(path), "--replications", "5", "--power", "1"])
    calibrate.main(["run", str(whole), "--replications", "5", "--power", "1"])
    assert json.loads(path.read_text()) == json.loads(whole.read_text())
    lines, sound = calibrate.table(json.loads(path.read_text()))
    assert (
        len(lines) == 4 + len(calibrate.DATA) and "5 replications of 200 rows" in lines[0] and isinstance(sound, bool)
    )
    calibrate.main(["plot", str(path), "-o", str(tmp_path / "power.png")])
    assert (tmp_path / "power.png").stat().st_size > 10_000


def test_the_band_holds_all_cells_with_the_stated_confidence():
    low, high = calibrate.band(4000, 72)
    assert 0.035 < low < 0.04 and 0.061 < high < 0.066
    share = np.random.default_rng(0).binomial(4000, 0.05, (2000, 72)) / 4000
    inside = ((share >= low) & (share <= high)).all(axis=1).mean()
    assert inside == pytest.approx(0.99, abs=0.01)


@pytest.mark.parametrize("name", calibrate.DATA)
def test_data_are_what_their_names_say(name):
    rng = np.random.default_rng(2)
    rows = calibrate.DATA[name](1000, 8, rng)
    assert rows.shape == (1000, 8)
    offset = np.linalg.norm(rows.mean(axis=0)) / np.sqrt((rows**2).sum(axis=1).mean())
    spread = np.linalg.eigvalsh(np.cov(rows.T))
    assert (len(np.unique(rows, axis=0)) < 1000) == (name == "duplicates")
    assert (offset > 0.85) == (name == "large mean")
    assert (spread[-1] / spread[0] > 4) == (name in ("power law", "heavy tails"))
    if name == "documents":
        assert np.corrcoef(rows[0::20, 0], rows[1::20, 0])[0, 1] > 0.2
