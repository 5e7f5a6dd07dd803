"The measurements of exported files run and write what the pages read"
import json
from commands import quick

def test_quick(tmp_path):
    found = quick('onnx_speed', tmp_path); large,small = found['networks']['resnet18'],found['networks']['resnet20-cifar10']
    assert large['w4a4']['smaller']>7 and large['w2a2']['smaller']>12 and small['w4a4']['bytes']<180e3
    assert all(large[b]['faster']>1 and large[b]['argmax']>=87 and small[b]['argmax']>=99 for b in ('w8a8','w4a4','w2a2'))
    assert 'onnxruntime' in found['versions'] and found['processor'] and found['repeats']==10

def test_parity(tmp_path):
    "In integers everything is equal; what is there is not computed again"
    rows = quick('parity', tmp_path, '--images', '100')['rows']; said = {r['policy']:r for r in rows}
    assert said.keys()=={'w8a8','w4a4','w2a2'} and all(r['integers']==100 and r['differ']==0 and r['integer_logits']<1e-5 for r in rows)
    file = tmp_path/'build/quick-parity.json'; file.write_text(json.dumps(dict(rows=[dict(r, simulated=-1) for r in rows])))
    assert all(r['simulated']==-1 for r in quick('parity', tmp_path, '--images', '100')['rows'])
