"""Two processes that pull one base at once, and one that is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from metier.bases import verify_base
from metier.disk import PART

HERE = Path(__file__).parent
PULL = f"""
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {str(HERE)!r})
from conftest import write_base
from metier.bases import pull
from metier.contracts import Base

class Slow:
    name = "slow"
    def cards(self):
        return []
    def fetch(self, base, folder, *, revision=None):
        with open(sys.argv[1], "a") as log:
            log.write(f"fetch {{os.getpid()}}\\n")
        write_base(folder)
        if sys.argv[2] == "hang":
            print("half", flush=True)
            time.sleep(600)
        while sys.argv[2] == "meet" and not waits.exists():  # the other is there, however late it began
            time.sleep(0.01)
        return Base(id=base, revision="r1", model_class="LlamaForCausalLM", context_length=512)

def progress(stage, done, total):
    if "waiting" in stage:
        waits.touch()
        stages.append(stage)

waits, stages = Path(sys.argv[1] + ".waits"), []
base = pull("slow-base", sources=[Slow()], progress=progress)
print(base.path, "waited" if stages else "went")
"""


def start(log: Path, mode: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PULL, str(log), mode], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    )


def test_two_pulls_at_once_fetch_once_and_both_get_the_base(tmp_path, home):
    log = tmp_path / "log"
    both = [start(log, "meet"), start(log, "meet")]
    outcomes = sorted(p.communicate(timeout=60)[0].split()[-1] for p in both)
    assert [p.returncode for p in both] == [0, 0]
    assert outcomes == ["waited", "went"]
    assert len(log.read_text().splitlines()) == 1
    assert verify_base("slow-base") == []


def test_a_killed_pull_leaves_no_base_and_the_next_one_cleans_up(tmp_path, home):
    log = tmp_path / "log"
    victim = start(log, "hang")
    assert victim.stdout.readline() == "half\n"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    parent = home / "bases" / "slow-base"
    left = [p.name for p in parent.iterdir()]
    assert len(left) == 1 and left[0].startswith(PART)
    after = start(log)
    assert after.communicate(timeout=60)[0].split()[-1] == "went", "the dead process's lock must not be waited for"
    assert after.returncode == 0
    assert [p.name for p in parent.iterdir()] == ["r1"]
