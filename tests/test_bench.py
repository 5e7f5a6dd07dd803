"The benchmarks run and write their figures, what became slower is told, and a long run's memory is seen"
import json, subprocess, sys
from pathlib import Path
from types import SimpleNamespace
import pytest
from browsing import needs
from commands import bench as benchmark, quick

def test_quick(tmp_path):
    "All ratios are there, and the two reconstructions come equally far"
    found = quick('bench', tmp_path)
    assert set(found['ratios'])=={'synthesis_plain_over_ours','reconstruction_plain_over_ours','sadag_over_genie','whole_plain_over_fast'}
    assert .8<found['agreement']['unit_error_ratio_ours_over_plain']<1.25

@pytest.fixture
def bench(root, monkeypatch):
    "The benchmark as a module"
    monkeypatch.syspath_prepend(root/'bench'); import bench
    yield bench
    del sys.modules['bench']

@pytest.mark.parametrize('name,old,new,worse', [
    ('sadag_over_genie',2.,2.2,False), ('sadag_over_genie',2.,2.4,True), ('sadag_over_genie',2.,1.,False),
    ('synthesis_plain_over_ours',2.,1.8,False), ('synthesis_plain_over_ours',2.,1.7,True), ('synthesis_plain_over_ours',2.,4.,False)])
def test_regressions(bench, name, old, new, worse):
    "SADAG's cost may not rise, what the package gains may not fall, by more than 15 %; what was not stored is not compared"
    assert bench.regressions({name:new, 'another':1.}, {name:old})==[f'{name}: {new:.2f}, stored {old:.2f}']*worse

def test_a_slower_run_fails(bench, tmp_path):
    "Beside figures of the same setting alone"
    out = tmp_path/'stored.json'; slow,fast = (dict(ratios=dict(synthesis_plain_over_ours=r), processor='this') for r in (1.,2.))
    bench.check(slow, ['processor'], out); out.write_text(json.dumps(fast))
    with pytest.raises(SystemExit, match='stored.json by more than 15 %: synthesis_plain_over_ours: 1.00, stored 2.00'): bench.check(slow, ['processor'], out)
    bench.check(dict(slow, processor='another'), ['processor'], out)

def test_scaling(tmp_path):
    "Two ranks and one do the same jobs"
    found = quick('scaling', tmp_path)
    jobs = {'synthesis','reconstruction','reconstruction, ResNet-18'}; assert found['ratios'].keys()==jobs
    assert all(of.keys()=={*jobs,'meeting'} for of in found['seconds'].values())
    for of in (*found['seconds'].values(), found['ratios']): assert min(of.values())>0

def test_large(root, tmp_path, monkeypatch):
    "A network's row, and operations counted as they are known"
    row, = quick('large', tmp_path)['rows']; assert (row['network'],row['units'])==('resnet20-cifar10',11) and row['memory_gib']>0 and row['paper_minutes']>0
    assert min(row[stage][k] for stage in ('synthesis','reconstruction') for k in ('share_of_peak','step'))>0
    monkeypatch.syspath_prepend(root/'bench'); import large, torch
    for groups in (1,4):
        conv,x = torch.nn.Conv2d(4,8,3,padding=1,groups=groups),torch.randn(2,4,5,5,requires_grad=True); once = 2*(2*25*8*36//groups) # two images, two operations a product
        for to in ([x],[x,conv.weight]): # there and back
            def run(steps, conv=conv, x=x, to=to):
                for _ in range(steps): torch.autograd.grad(conv(x).sum(), to)
            assert large.a_step(run, 2)==(1+len(to))*once
    clock = [0.]; monkeypatch.setattr(large, 'time', SimpleNamespace(perf_counter=lambda: clock[0]))
    def lasting(steps): run(steps); clock[0] += 2+.5*steps; return steps
    assert large.timed(lasting, 10, 4, 2*3*once)==(10, dict(step=.5, once=2., share_of_peak=1.))

@needs('g++')
def test_compiled(tmp_path):
    found = quick('compiled', tmp_path); assert found['compiling']>found['seconds']['compiled'] and found['ratio']>.5

def test_mixed(tmp_path):
    "Mixed precision keeps to the uniform bits' cost, real images agree with real ones, and a stopped run goes on"
    out = tmp_path/'mixed.json'
    def run(*options):
        command = [*'--model resnet20-digits --data digits --train digits-train'.split(),
                   *'--n 16 --steps 3 --unit-steps 1 --seeds 0 --front'.split(), '--work', tmp_path, '--out', out, *options]
        return benchmark('mixed', *command).stderr
    assert run('--kinds','w3a3','--criteria','trace')==''
    first = json.loads(out.read_text())['runs']; assert run('--criteria','trace','--kinds','w3a3','w3a3-order','w3a3-kl','w3-eigenvalue','w3a3-kl-learnt')==''
    found = json.loads(out.read_text()); assert found['runs'][:1]==first
    uniform,order,kl,eigenvalue,learnt = found['runs']
    assert learnt['left']['bits']=='w3a3' and min(learnt['left']['weights'],learnt['left']['inputs'])>0 and learnt['bitops']<=uniform['bitops'] and learnt['layers']!=kl['layers']
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

def test_plateau(tmp_path):
    "Each seed's loss is read from the first step to the last, and falls"
    found = quick('plateau', tmp_path); assert found['courses'].keys()=={'0','1','2'}
    for course in found['courses'].values(): assert (course[0][0],course[-1][0])==(0,found['steps']-1) and course[-1][1]<course[0][1]/5
