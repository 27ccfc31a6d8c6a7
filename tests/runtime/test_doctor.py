"""The doctor: every part has a state, whatever is wrong has a remedy, and torch stays out of this process."""

import subprocess
import sys

from metier.runtime import diagnose
from metier.runtime.doctor import Diagnosis


def test_every_row_that_is_not_ok_has_a_remedy():
    diagnosis = diagnose()
    assert {"onnxruntime", "NVIDIA driver", "CUDA in onnxruntime", "torch"} <= {row.what for row in diagnosis.rows}
    assert all(row.remedy for row in diagnosis.rows if row.state != "ok")
    assert Diagnosis.model_validate_json(diagnosis.model_dump_json()) == diagnosis


def test_the_doctor_loads_torch_in_another_process():
    code = "import sys\nfrom metier.runtime import diagnose\ndiagnose()\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_torch_that_does_not_load_is_reported_and_not_raised(monkeypatch):
    from metier.runtime import doctor

    monkeypatch.setattr(doctor, "TORCH_PROBE", "raise ImportError('libcudart.so.99: not found')")
    row = doctor._torch(cuda_works=False)
    assert row.state == "warn" and "libcudart.so.99" in row.detail and row.remedy
