"The benchmark's two sides minimise the same losses and it writes its figures"
import json, subprocess, sys
from pathlib import Path

def test_quick(tmp_path):
    out = tmp_path/'bench.json'
    subprocess.run([sys.executable, Path(__file__).parents[1]/'bench/bench.py', '--quick', '--out', out], check=True, capture_output=True)
    found = json.loads(out.read_text())
    assert abs(found['agreement']['first_loss_ours']/found['agreement']['first_loss_plain']-1) < .02
    assert set(found['ratios'])=={'synthesis_plain_over_ours','reconstruction_plain_over_ours','sadag_over_genie'}
