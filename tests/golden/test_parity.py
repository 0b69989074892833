"""The released head, through the converter, in our modules: golden values."""

from pathlib import Path

import numpy as np
import pytest

from dynamask.convert import parity
from dynamask.errors import WeightsError

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "released_head.npz"


@pytest.mark.skipif(not GOLDEN.is_file(), reason="golden values lie beside the repository")
def test_every_output_within_1e_4() -> None:
    errors = parity(GOLDEN)
    assert len(errors) == 13
    assert {n: e for n, e in errors.items() if e >= 1e-4} == {}
    assert [errors[f"edge_target_{g}"] for g in (14, 28, 56, 112)] == [0.0] * 4


def test_file_that_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    path.write_bytes(b"not an archive")
    with pytest.raises(WeightsError, match="cannot be read"):
        parity(path)
    with pytest.raises(WeightsError, match="found no file"):
        parity(tmp_path / "absent.npz")
    np.savez(path, other=np.zeros(3))
    with pytest.raises(WeightsError, match="got others"):
        parity(path)
