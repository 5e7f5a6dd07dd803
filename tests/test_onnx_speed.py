"The measurement of exported files runs and writes what the pages read"
import json, subprocess, sys
from pathlib import Path

def test_quick(tmp_path):
    command = [sys.executable, Path(__file__).parents[1]/'bench/onnx_speed.py', '--quick']
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    found = json.loads((tmp_path/'build/quick-onnx_speed.json').read_text()); large,small = found['networks']['resnet18'],found['networks']['resnet20-cifar10']
    assert large['w4a4']['smaller']>7 and large['w2a2']['smaller']>12 and small['w4a4']['bytes']<180e3
    assert all(large[b]['faster']>1 and large[b]['argmax']>=87 and small[b]['argmax']>=99 for b in ('w8a8','w4a4','w2a2'))
    assert 'onnxruntime' in found['versions'] and found['repeats']==10
