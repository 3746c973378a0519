"""The angle table is correctly rounded, symmetric to the bit, and never changes."""

import mpmath
import numpy as np
import pytest

from srmfast.angles import MAX_ANGLES, angle_hash, angle_table
from srmfast.errors import InputError

FROZEN = {
    360: "b1d84defda41128d61ebf94b34ed53eda7fda3e6b2f16b0d53d0081cbca0c7c7",
    720: "2dec7e5c9863b225e7c6a6f2e9c8815a785ae8e7b27e66f5bd1324e860f9324d",
}
GRIDS = [2, 3, 4, 7, 8, 12, 100, 360, 721]


@pytest.mark.parametrize("a", GRIDS)
def test_every_entry_is_the_float_nearest_to_the_true_value(a):
    cos, sin = angle_table(a)
    with mpmath.workprec(300):
        for m in range(a):
            quadrant, rest = divmod(4 * m, a)
            exact = (
                [(1, 0), (0, 1), (-1, 0), (0, -1)][quadrant]
                if rest == 0
                else (mpmath.cos(2 * mpmath.pi * m / a), mpmath.sin(2 * mpmath.pi * m / a))
            )
            assert (cos[m], sin[m]) == (float(exact[0]), float(exact[1])), m


@pytest.mark.parametrize("a", GRIDS)
def test_mirrored_grid_points_hold_the_same_numbers(a):
    cos, sin = angle_table(a)
    m = np.arange(a)
    assert (cos[-m % a] == cos).all() and (sin[-m % a] == -sin).all()
    if a % 2 == 0:
        assert (cos[(m + a // 2) % a] == -cos).all() and (sin[(m + a // 2) % a] == -sin).all()
    if a % 4 == 0:
        assert (cos[(a // 4 - m) % a] == sin).all()
        assert set(cos[:: a // 4]) == {1.0, 0.0, -1.0}
    if a % 8 == 0:
        assert cos[a // 8] == sin[a // 8]
    assert not np.signbit(cos[cos == 0]).any() and not np.signbit(sin[sin == 0]).any()


@pytest.mark.parametrize("a", FROZEN)
def test_the_tables_bytes_are_frozen(a):
    assert angle_hash(a) == FROZEN[a]


@pytest.mark.parametrize("a", [0, 1, -4, MAX_ANGLES + 1, 3.5, "360", None])
def test_an_unusable_number_of_angles_is_refused(a):
    with pytest.raises(InputError, match="angles must be a whole number"):
        angle_table(a)
