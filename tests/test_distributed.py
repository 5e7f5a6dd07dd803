"Two processes that torchrun starts, on the embedded network with tiny budgets: the same results as one, and what happens when one dies"
import json, os, re, subprocess
import pytest, torch
from commands import program as one_process
from sadag_nb.app.pipeline import run_synthesize
from sadag_nb.app.sweep import run_sweep
from sadag_nb.core import load_tensors
from sadag_nb.ranks import torchrun

MODEL = 'resnet20-digits'
IMAGES = dict(recipe='zeroq', n=12, steps=3, batch=4)
UNITS = dict(bits='w4a4', unit_steps=3, unit_batch=4)
CLI = '-m', 'sadag_nb.app.cli'

@pytest.fixture(autouse=True, scope='module')
def one_thread():
    "The two processes have one thread each, and so has what they are compared with"
    torch.set_num_threads(1)

def started(*program, cwd, ranks=2):
    "What came of a program in several processes, within a minute"
    env = dict(os.environ, OMP_NUM_THREADS='1', MKL_NUM_THREADS='1')
    return subprocess.run(torchrun(ranks, *program), cwd=cwd, env=env, capture_output=True, text=True, timeout=60)

def done(*program, cwd, ranks=2):
    res = started(*program, cwd=cwd, ranks=ranks); assert res.returncode==0, res.stdout+res.stderr
    return res

EXACTLY = '''
import sys, torch
torch.set_num_threads(1)
import sadag_nb.quant.reconstruct as module
from sadag_nb.app.cli import main
single,learn = torch.Tensor.float,module.reconstruct
def exactly(model, images, *args, **kwargs):
    "Units are learnt in double precision, whose rounding moves no code: what differs between one process and two is no matter of luck"
    torch.set_default_dtype(torch.float64); torch.Tensor.float = torch.Tensor.double
    try: result = learn(model.double(), images.double(), *args, **kwargs)
    finally: torch.set_default_dtype(torch.float32); torch.Tensor.float = single
    return result.float()
module.reconstruct = exactly
'''

def options(**settings): return [a for k,v in settings.items() for a in ('--'+k.replace('_','-'), str(v))]
def images(run): return load_tensors(run/'images.safetensors')[0]['images']
def errors(run): return [r['error'] for r in map(json.loads, (run/'metrics.jsonl').read_text().splitlines()) if r['stage']=='unit']

def quantized(*settings, cwd, ranks):
    "`sadag quantize` in so many processes"
    code,args = EXACTLY+'sys.exit(main())',('quantize', '--model', MODEL, '--device', 'cpu', *settings, '--out', 'run')
    if ranks==1: # without torchrun
        res = one_process(code, *args, cwd=cwd); assert res.returncode==0, res.stdout+res.stderr
        return res
    program = cwd/'exactly.py'; program.write_text(code)
    return done(program, *args, cwd=cwd, ranks=ranks)

WHOLE = *options(**IMAGES, **UNITS), '--data', 'digits'

@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    "The run folder of one process"
    d = tmp_path_factory.mktemp('alone'); quantized(*WHOLE, cwd=d, ranks=1)
    return d/'run'

def test_two_ranks_quantize_as_one(alone, tmp_path):
    "The same images to the byte, the same errors up to the order of additions, one voice and one run folder"
    res = quantized(*WHOLE, cwd=tmp_path, ranks=2); run = tmp_path/'run'
    assert (run/'images.safetensors').read_bytes()==(alone/'images.safetensors').read_bytes()
    assert {p.name for p in run.iterdir()}=={p.name for p in alone.iterdir()}
    assert errors(run)==pytest.approx(errors(alone), rel=1e-9)
    assert res.stdout.count('report: ')==1 and 'wait' not in res.stderr

FIRST_STEP = '''
import torch
from sadag_nb.quant import reconstruct as module
from sadag_nb.core import seeded
from sadag_nb.graph.trace import trace
from sadag_nb.quant.prepare import prepare

class Block(torch.nn.Module):
    "One unit with a quantizer inside, and a layer behind it"
    def __init__(self):
        super().__init__()
        self.a,self.b,self.down = (torch.nn.Sequential(torch.nn.Conv2d(i, 8, 3, padding=1, bias=False), torch.nn.BatchNorm2d(8)) for i in (3,8,3))
        self.last = torch.nn.Linear(8, 5)
    def forward(self, x): return self.last((self.b(self.a(x).relu())+self.down(x)).relu().mean((2,3)))

def first_step():
    "Gradients of the first step of the first unit, as the optimizer gets them"
    before,seen = module.averaged,[]
    def recorded(tensors): before(tensors); seen.append([t.clone() for t in tensors])
    module.averaged = recorded
    with seeded(0,'net'): net = Block().eval(); x = torch.randn(16,3,6,6)
    try: module.reconstruct(prepare(trace(net,(3,6,6)), 'w4a4'), x, steps=2, batch=5, dtype=torch.float32)
    finally: module.averaged = before
    return {str(i):t for i,t in enumerate(seen[0])}
'''

def test_a_step_is_that_of_one(tmp_path):
    "Parts of 2 and 3 of 5 images, with dropping: the gradients, the steps' of the inner quantizer too, and the error"
    program = tmp_path/'program.py'; program.write_text(FIRST_STEP+'''
import sys
from sadag_nb.core import save_tensors
from sadag_nb.ranks import joined, rank
with joined(): save_tensors(f'{sys.argv[1]}/{rank()}.safetensors', first_step())
''')
    done(program, tmp_path, cwd=tmp_path); scope = {}; exec(FIRST_STEP, scope)
    one,first,second = scope['first_step'](),*(load_tensors(tmp_path/f'{r}.safetensors')[0] for r in range(2))
    assert len(one)==3*2+1+1 and all(one[k].any() for k in one)         # roundings and steps of 3 layers, 1 quantizer, the error
    for k in one:
        assert torch.equal(first[k],second[k])
        torch.testing.assert_close(first[k], one[k], rtol=2e-3, atol=1e-5*one[k].abs().max().item()) # a step's is a small difference

DIES = '''
import os, signal, sys
import sadag_nb.{module} as module
from sadag_nb.app.cli import main
seen,before = [],module.{name}
def dying(*args, **kwargs):
    "Rank 1 is killed when it comes from here for the second time, or a later one if that failed"
    seen.append(1); result = before(*args, **kwargs)
    if os.environ['RANK']=='1' and len(seen)>=2: os.kill(os.getpid(), signal.SIGKILL)
    return result
module.{name} = dying
sys.exit(main())
'''
def killed(tmp_path, module, name, *args, before=''):
    "Run a command of which rank 1 is killed: it ends, and says so"
    program = tmp_path/'dies.py'; program.write_text(before+DIES.format(module=module, name=name))
    res = started(program, *args, '--model', MODEL, '--device', 'cpu', '--out', 'run', cwd=tmp_path)
    assert res.returncode!=0
    cause = res.stderr[res.stderr.index('Root Cause'):]
    assert re.search(r'rank\s+: 1 ', cause) and 'SIGKILL' in cause, res.stderr

def test_a_rank_dies_while_images_are_made(alone, tmp_path):
    "torchrun names it, and another number of ranks goes on from the finished batches to the same images"
    settings = dict(IMAGES, batch=3)
    killed(tmp_path, 'synth.synthesize', 'save_tensors', 'synthesize', *options(**settings))
    kept = {p.name:p.stat().st_mtime_ns for p in (tmp_path/'run/images').iterdir()}
    assert {'00001.safetensors','00003.safetensors'} <= kept.keys()
    run = run_synthesize(MODEL, str(tmp_path/'run'), device='cpu', **settings)
    whole = run_synthesize(MODEL, str(tmp_path/'whole'), device='cpu', **settings)
    assert torch.equal(images(run.path), images(whole.path))

def test_a_rank_dies_while_units_are_rebuilt(alone, tmp_path):
    "torchrun names it, and one process goes on from the finished unit"
    settings = options(**UNITS, images=alone)
    killed(tmp_path, 'quant.reconstruct', '_rebuild', 'quantize', *settings, before=EXACTLY)
    assert '00000.safetensors' in {p.name for p in (tmp_path/'run/units').iterdir()}
    quantized(*settings, cwd=tmp_path, ranks=1); assert errors(tmp_path/'run')==pytest.approx(errors(alone), rel=1e-9)

COUNTS = '''
import os, sys
import sadag_nb.app.sweep as sweep
from sadag_nb.app.cli import main
before = sweep.quantize
def counted(*args, **kwargs):
    with open('by'+os.environ['RANK'], 'a') as f: f.write('.')
    return before(*args, **kwargs)
sweep.quantize = counted
sys.exit(main())
'''

def test_rows_of_a_sweep_are_dealt(tmp_path):
    "Two ranks compute the table that one does, each its half"
    what = dict(data='digits', model=MODEL, n=8, steps=2, unit_steps=2, device='cpu'); program = tmp_path/'counts.py'; program.write_text(COUNTS)
    done(program, 'sweep', 'recipes', '--out', 'two', *options(**what), '--cases', 'noise', '--bits', 'w4a4', '--seeds', 0, 1, cwd=tmp_path)
    assert [(tmp_path/f'by{rank}').read_text() for rank in range(2)]==['.','.']
    one = run_sweep('recipes', str(tmp_path/'one'), cases=['noise'], bits=['w4a4'], seeds=[0,1], **what)
    two = json.loads((tmp_path/'two/recipes.json').read_text())
    plain = lambda rows: [(r['case'],r['seed'],r['top1']) for r in rows]
    assert plain(two['rows'])==plain(one['rows']) and len(two['rows'])==2

def test_a_mistake_is_told_once(alone, tmp_path):
    "More ranks than images of a step, found before any work; other verbs are rank 0's alone"
    res = started(*CLI, 'quantize', '--model', MODEL, '--device', 'cpu', '--images', alone, '--unit-batch', 1, '--out', 'run', cwd=tmp_path)
    told = re.findall('^error: .*', res.stderr, re.M)
    assert res.returncode!=0 and len(told)==1 and '2 ranks cannot part 1 images' in told[0] and 'of 2)' in told[0]
    assert not (tmp_path/'run').exists()
    assert done(*CLI, 'recipes', cwd=tmp_path).stdout.count('sadag: ')==1
