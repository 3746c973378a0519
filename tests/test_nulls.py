"""Reference curves of isotropic rows against known values and sampling."""

import numpy as np
import pytest

from srmfast.errors import InputError
from srmfast.nulls import isotropic, plane_share


@pytest.mark.parametrize(
    "d, epsilon, wanted",
    [
        (2, 0.5, 1 / 3),
        (3, 0.4, 0.3),
        (3, -0.5, 0.75),
        (8, 0.75, 0.0099711),
        (16, 0.7, 8.783e-4),
        (16, 0.85, 7.786e-6),
        (16, 0.9, 4.33e-7),
        (24, 0.9, 4.6e-10),
    ],
)
def test_isotropic_gives_the_known_values(d, epsilon, wanted):
    assert isotropic(epsilon, d) == pytest.approx(wanted, rel=2e-3 if wanted < 1e-6 else 1e-4)


def test_isotropic_agrees_with_sampling():
    rows = np.random.default_rng(0).standard_normal((200_000, 5))
    cosine = rows[:, 0] / np.linalg.norm(rows, axis=1)
    for epsilon in (-0.7, 0.0, 0.3, 0.8):
        p = isotropic(epsilon, 5)
        assert abs((cosine >= epsilon).mean() - p) < 5 * np.sqrt(p * (1 - p) / len(rows))


def test_isotropic_has_its_limits_and_symmetry():
    epsilon = np.linspace(-1, 1, 41)
    share = isotropic(epsilon, 7)
    assert share.shape == epsilon.shape and (np.diff(share) < 0).all()
    assert share[0] == 1 and share[-1] == 0 and isotropic(0.0, 7) == 0.5
    np.testing.assert_allclose(share + share[::-1], 1, atol=1e-15)


@pytest.mark.parametrize("d, epsilon, wanted", [(8, 0.8, 0.046656), (16, 0.85, 1.267e-4), (2, 0.9, 1), (9, -0.5, 1)])
def test_plane_share_gives_the_known_values(d, epsilon, wanted):
    assert plane_share(epsilon, d) == pytest.approx(wanted, rel=1e-3)


def test_plane_share_agrees_with_sampling():
    rows = np.random.default_rng(1).standard_normal((100_000, 6))
    cosine = np.hypot(rows[:, 0], rows[:, 1]) / np.linalg.norm(rows, axis=1)
    p = plane_share(0.6, 6)
    assert abs((cosine >= 0.6).mean() - p) < 5 * np.sqrt(p * (1 - p) / len(rows))


@pytest.mark.parametrize("call", [isotropic, plane_share])
def test_values_outside_their_range_are_refused(call):
    for epsilon, d in ((25.8, 4), (np.nan, 4), ([0.1, -2], 4), (0.5, 1)):
        with pytest.raises(InputError):
            call(epsilon, d)
