"The benchmark's two sides minimise the same losses and it writes its figures"
import json, subprocess, sys
from pathlib import Path

def test_quick(tmp_path):
    "It writes its figures; a stored ratio that is not reached fails, and is kept, unless it is another processor's"
    out = tmp_path/'bench.json'
    def run(): return subprocess.run([sys.executable, Path(__file__).parents[1]/'bench/bench.py', '--quick', '--out', out], capture_output=True, text=True)
    assert run().returncode==0; found = json.loads(out.read_text())
    stored = dict(found, ratios=dict(found['ratios'], reconstruction_plain_over_ours=100.)); out.write_text(json.dumps(stored))
    failed = run(); assert failed.returncode==1 and 'reconstruction_plain_over_ours' in failed.stderr and json.loads(out.read_text())==stored
    out.write_text(json.dumps(dict(stored, processor='another'))); assert run().returncode==0 and json.loads(out.read_text())!=stored
    assert abs(found['agreement']['first_loss_ours']/found['agreement']['first_loss_plain']-1) < .02
    assert set(found['ratios'])=={'synthesis_plain_over_ours','reconstruction_plain_over_ours','sadag_over_genie','whole_plain_over_fast'}

def test_scaling(tmp_path):
    "Two ranks and one do the same two jobs"
    out = tmp_path/'scaling.json'
    subprocess.run([sys.executable, Path(__file__).parents[1]/'bench/scaling.py', '--quick', '--out', out], check=True, capture_output=True)
    found = json.loads(out.read_text()); seconds = found['seconds']
    assert found['ratios'].keys()==found['expected'].keys()==seconds['1'].keys()
    for k,ratio in found['ratios'].items(): assert 0<ratio==seconds['1'][k]/seconds['2'][k]

def test_mixed(tmp_path):
    "Mixed precision keeps to the uniform bits' cost, real images agree with real ones, and a stopped run goes on"
    out = tmp_path/'mixed.json'
    def run(*options):
        command = [sys.executable, Path(__file__).parents[1]/'bench/mixed.py', *'--model resnet20-digits --data digits --train digits-train'.split(),
                   *'--n 16 --steps 3 --unit-steps 1 --seeds 0 --front'.split(), '--work', tmp_path, '--out', out, *options]
        return subprocess.run(command, capture_output=True, text=True).stderr
    assert run('--kinds','w3a3','--criteria','trace')==''
    first = json.loads(out.read_text())['runs']; assert run('--criteria','trace','--kinds','w3a3','w3a3-order','w3a3-kl','w3-eigenvalue')==''
    found = json.loads(out.read_text()); assert found['runs'][:1]==first
    uniform,order,kl,eigenvalue = found['runs']
    assert sorted(order['order'])==list(range(11))!=order['order'] and order['layers']==uniform['layers']
    assert kl['size']<=uniform['size'] and kl['bitops']<=uniform['bitops'] and kl['sensitivity']<uniform['sensitivity']
    assert eigenvalue['size']<=uniform['size'] and {a for _,a in list(eigenvalue['layers'].values())[2:-1]}=={3}
    assert [r['criterion'] for r in found['ranks']]==['trace'] and all(.9<found['ranks'][0][k]<=1 for k in ('synthetic','real'))
    fronts = found['fronts']
    assert [(r['criterion'],r['by']) for r in fronts['seconds']]==[('trace','size'),('trace','bitops')]
    assert any(r['kind']=='chosen' and r['cost']<=uniform['bitops'] for r in fronts['drawn'])
    assert 'other settings' in run('--n','8')

def test_memory(tmp_path):
    "What a command and its child hold is seen, its exit status handed on"
    out = tmp_path/'memory.json'; child = "import subprocess,sys,time; x = bytearray(60<<20); time.sleep(1.5)"
    command = [sys.executable, '-c', f"import subprocess,sys; subprocess.run([sys.executable,'-c',{child!r}]); sys.exit(7)"]
    res = subprocess.run([sys.executable, Path(__file__).parents[1]/'bench/memory.py', '--every', '.1', '--out', str(out), '--', *command])
    found = json.loads(out.read_text()); assert res.returncode==7 and 60<found['highest_mib']<400 and found['minutes']==1
