"Mixed precision from outside: the command, what is refused before long work, and the formulas against independent ones"
import itertools, json
import pytest, torch
from torch import nn
from commands import sadag, told
from sadag_nb.core import SadagError, frozen
from sadag_nb.graph.trace import trace
from sadag_nb.mixed import allocate as al, sensitivity as se
from sadag_nb.models.zoo import pretrained
from sadag_nb.quant.policy import Bits, Policy
from sadag_nb.quant.uniform import search_grid

DIGITS = 'quantize --model resnet20-digits'
BAD = {  # what: (options, words the sentence holds)
    'unreachable size':   ('--bits auto --size 20kB', 'the smallest is 73.'),
    'unreachable bitops': ('--bits auto --bitops 1M', 'the smallest is 49.'),
    'unreachable time':   ('--bits auto --time 1us --latency good.json', 'the smallest is'),
    'limits that exclude each other': ('--bits auto --size 74kB --time 21ms --latency slow2.json', 'with size'),
    'size without auto':  ('--size 0.15MB', '--bits auto'),
    'criterion without auto': ('--bits w4a4 --criterion kl', '--bits auto'),
    'auto with a layer left out': ('--bits auto --size 0.2MB --layer linear=fp', 'linear is to stay in full precision'),
    'integers and a32':   ('--bits w4a32 --integer', 'no a32 with integer'),
    'auto without limit': ('--bits auto', 'give size, bitops or time'),
    'unknown criterion':  ('--bits auto --size 0.15MB --criterion eigenvalu', "did you mean 'eigenvalue'"),
    'malformed size':     ('--bits auto --size 0.15', 'written like 0.15MB'),
    'negative size':      ('--bits auto --size=-3MB', 'written like 0.15MB'),
    'malformed bitops':   ('--bits auto --bitops many', 'written like 1.2G'),
    'time without table': ('--bits auto --time 2ms', 'latency table'),
    'no such table':      ('--bits auto --time 2ms --latency gone.json', 'gone.json'),
    'table of another network': ('--bits auto --time 2ms --latency other.json', "no layer is called 'conv9'"),
    'table with a gap':   ('--bits auto --time 2ms --latency short.json', 'nothing about layer'),
    'activations without meaning': ('--bits auto --size 1MB --activations 9', '2 to 8'),
    'eigenvalue of activations':   ('--bits auto --bitops 0.3G --criterion eigenvalue', 'weights alone'),
    'exception of an unknown layer': ('--bits auto --size 1MB --layer liner=w8a8', "'linear'"),
}

@pytest.fixture(scope='module')
def tables(tmp_path_factory):
    "A folder of latency tables of the digits network"
    d,names = tmp_path_factory.mktemp('tables'),list(al.count(trace(pretrained('resnet20-digits'))).numbers)
    pairs = list(itertools.product(range(2,9), repeat=2))
    def write(file, row): (d/file).write_text(json.dumps(dict.fromkeys(names, row)))
    write('good.json', {f'w{w}a{a}':1e-3*w for w,a in pairs})
    write('slow2.json', {f'w{w}a{a}':1e-3*(9 if w==2 else 1) for w,a in pairs})
    (d/'other.json').write_text('{"conv9": {"w4a4": 1}}'); (d/'short.json').write_text('{"conv1": {"w8a8": 1}}')
    return d

@pytest.mark.parametrize('what', BAD)
def test_refused(what, tables, capsys, monkeypatch):
    "Status 2, one line that says what to change, no folder, and no sensitivity or synthesis before it"
    import sadag_nb.app.pipeline as pipeline
    def long_work(*args, **kwargs): raise AssertionError('long work has begun')
    for name in ('synthesize','foreseen','quantize'): monkeypatch.setattr(pipeline, name, long_work)
    monkeypatch.chdir(tables); options,words = BAD[what]
    told(capsys, [*DIGITS.split(), *options.split(), '--out', 'runs/x'], words)
    assert not (tables/'runs').exists()

def test_solver_finds_nothing():
    "An empty set of allocations, and no time at all, are errors of one sentence"
    graph = trace(pretrained('resnet20-digits')); costs = al.count(graph)
    choices = al.offers(graph, costs, Policy('w8a8'))
    with pytest.raises(SadagError, match='the solver found no allocation'):
        al.solve(choices, costs, {'size':1.}, lambda *_: 1.)
    with pytest.raises(SadagError, match='the solver found no allocation'):
        al.solve(choices, costs, {'size':1.1e5,'bitops':1.1e8}, lambda f,n,b: 1/b.weights, seconds=0.)

def test_command(tmp_path):
    "Policy, figure and table are in the run folder; the same command goes on from them; the stored codes keep the limit"
    command = [*DIGITS.split(), *'--images digits-train --n 16 --bits auto --size 0.09MB --criterion trace --unit-steps 1 --out a'.split()]
    out = sadag(*command, cwd=tmp_path); assert out.returncode==0, out.stderr
    run = tmp_path/'a'; policy,result = (json.loads((run/f).read_text()) for f in ('policy.json','result.json'))
    policy = Policy(**policy)
    assert 85<result['kilobytes']<=90 and f"W{result['mean_bits'][1:4]}A" in out.stdout
    assert (run/'figures/front.svg').is_file() and (run/'figures/bits.svg').is_file()
    html = (run/'report.html').read_text(); assert 'Uniform bits' in html
    from sadag_nb.app.pipeline import open_run
    _,_,q = open_run(run); bits = policy.resolve(trace(pretrained('resnet20-digits')))
    assert all(f"<tr><td>{n}</td><td>{b.weights}</td><td>{b.input or '–'}</td></tr>" in html for n,b in bits.items())
    from sadag_nb.quant.prepare import layers
    codes = {n:l.parametrizations.weight.original for n,l in layers(q).items()}
    packed = sum(c.numel()*bits[n].weights/8 for n,c in codes.items())
    assert all(int(c.max())<2**bits[n].weights for n,c in codes.items())
    assert packed<9e4 and len({b.weights for b in bits.values()})>2
    before = (run/'policy.json').stat().st_mtime_ns
    assert sadag(*command, cwd=tmp_path).returncode==0
    assert (run/'policy.json').stat().st_mtime_ns==before

class Small(nn.Module):
    "Two convolutions that read one tensor, and a linear layer"
    def __init__(self):
        super().__init__()
        self.stem,self.a,self.b = nn.Conv2d(1,2,3,padding=1),nn.Conv2d(2,2,1),nn.Conv2d(2,2,1)
        self.head = nn.Linear(2,3)
    def forward(self, x):
        x = self.stem(x).tanh()
        return self.head((self.a(x)*self.b(x)).mean((2,3)))

@pytest.fixture(scope='module')
def small():
    torch.manual_seed(0); net = frozen(Small())
    for p in net.parameters(): p.mul_(2)
    return trace(net, (1,5,5)), torch.randn(6,1,5,5)*2 # it has no batch norm to fold

NAMES = ('stem','a','b','head')

def answers(graph, x, **weights):
    "Logits with other weights"
    state = {f'{n}.weight':w for n,w in weights.items()}
    return torch.func.functional_call(graph, state, (x,))

def distillation(graph, x, name, w):
    "Mean KL divergence from the full-precision answers, by its definition"
    p = answers(graph, x).softmax(1)
    return (p*(p.log()-answers(graph, x, **{name:w}).log_softmax(1))).sum(1).mean()

def weight(graph, name): return graph.get_submodule(name).weight.detach()

def hessian(graph, x, name):
    "The exact block of the distillation loss's Hessian"
    w = weight(graph, name)
    return torch.func.hessian(lambda t: distillation(graph, x, name, t.view_as(w)))(w.flatten())

def test_zeroq(small):
    "Omega(k) = mean KL(full precision || layer alone at k bits)"
    graph,x = small; table = se.sensitivity(graph, x, 'kl').weights
    for i,n in enumerate(NAMES):
        for k in (2,4):
            w = weight(graph, n)
            expected = distillation(graph, x, n, search_grid(w,k)(w))
            torch.testing.assert_close(table[i,k-2].float(), expected, rtol=1e-3, atol=1e-7)

def test_hawq(small):
    "S = top eigenvalue over size, times the squared perturbation; and the order by eigenvalue times perturbation"
    graph,x = small; table = se.sensitivity(graph, x, 'eigenvalue').weights; score = {}
    for i,n in enumerate(NAMES):
        w = weight(graph, n); moved = (search_grid(w,3)(w)-w).square().sum()
        top = torch.linalg.eigvalsh(hessian(graph, x, n))[-1]
        torch.testing.assert_close(table[i,1], top/w.numel()*moved, rtol=.05, atol=0.)
        score[n] = float(top*moved)
    policy = Policy('w3a3', ends=False); order = se.tuning_order(se.sensitivity(graph, x, 'eigenvalue'), graph, policy)
    units = [('stem',),('a','b'),('head',)]
    assert order==sorted(range(3), key=lambda u: -max(score[n] for n in units[u]))
    even = se.Sensitivity('eigenvalue', list(NAMES), torch.ones(4,7), [], None) # of 18, 4, 4 and 6 weights
    assert se.tuning_order(even, graph, policy)==[0,2,1]

def test_hawq_v2(small):
    "Omega(k) = trace over size, times the squared perturbation; both estimators of the trace are unbiased"
    graph,x = small; pieces,weights,_ = se.places(graph, x)
    exact = torch.stack([hessian(graph, x, n).trace() for n in NAMES])
    for f in (se.traces,se.output_traces):
        t = f(pieces, weights, x, draws=600); error = t.std(0)/len(t)**.5
        assert ((t.mean(0)-exact).abs()<4*error).all() and (error<.2*exact).all(), f.__name__
    mean = se.output_traces(pieces, weights, x, draws=8, batch=32).mean(0)
    table = se.sensitivity(graph, x, 'trace').weights
    for i,n in enumerate(NAMES):
        w = weight(graph, n)
        expected = mean[i]/w.numel()*(search_grid(w,2)(w)-w).square().sum()
        torch.testing.assert_close(table[i,0], expected, rtol=1e-4, atol=0.)

def test_front_by_brute_force(small):
    "Front and integer program against all 7^5 allocations of a network in which two layers share their input"
    graph,x = small; costs = al.count(graph)
    choices = al.offers(graph, costs, Policy('w8a8', {'stem':'w8a8'}, ends=False))
    sens,rows = se.sensitivity(graph, x, 'error'),[]
    sens.weights,sens.inputs = torch.rand(4,7).double()/torch.arange(1,8), torch.rand(2,7).double()/torch.arange(1,8)
    for a,b,h,f,g in itertools.product(range(2,9), repeat=5):
        bits = dict(stem=Bits(8,None), a=Bits(a,f), b=Bits(b,f), head=Bits(h,g))
        omega = sum(sens.weights[i,k-2] for i,k in enumerate((8,a,b,h)))+sens.inputs[0,f-2]+sens.inputs[1,g-2]
        rows.append((4*(a+b)/8+6*h/8, 100*(a+b)*f+6*h*g+450*64, float(omega)))
        if len(rows)%2000==1: assert (costs.total('size',bits)-costs.fixed-18, costs.total('bitops',bits))==rows[-1][:2]
    all_ = torch.tensor(rows, dtype=torch.double)
    for i,by in enumerate(('size','bitops')):
        limit = float(all_[:,i].quantile(.3)); least = float(all_[all_[:,i]<=limit,2].min())
        limit += (costs.fixed+18)*(by=='size')
        front = al.front(sens, costs, choices, by)
        assert abs(min(p.sensitivity for p in front if p.cost[by]<=limit)/least-1)<1e-5
        assert abs(al.best(sens, costs, choices, {by:limit}).sensitivity/least-1)<1e-5
    for u,v in ((.4,.3),(.2,.6),(.7,.1),(.1,.2),(.05,.05)):
        size,ops = float(all_[:,0].quantile(u)),float(all_[:,1].quantile(v))
        least = float(all_[(all_[:,0]<=size)&(all_[:,1]<=ops),2].min())
        found = al.best(sens, costs, choices, dict(size=size+costs.fixed+18, bitops=ops))
        assert abs(found.sensitivity/least-1)<1e-5

def test_uniform_is_never_better():
    "At the size and bit operations of W3A3, what is chosen is no more sensitive, by each criterion"
    from sadag_nb.models.datasets import calibration
    net = pretrained('resnet20-digits'); graph = trace(net); costs = al.count(graph)
    uniform = Policy('w3a3').resolve(graph); limits = {by:costs.total(by,uniform) for by in ('size','bitops')}
    x = calibration('digits-train', net.card, 8)
    for criterion in se.CRITERIA:
        fixed = 3 if criterion in se.OF_WEIGHTS_ALONE else None
        p = al.plan(graph, criterion=criterion, activations=fixed, **limits); sens = se.sensitivity(graph, x, criterion)
        assert al.best(sens, p.costs, p.choices, p.limits).sensitivity<al.harm(sens, uniform)*(1+1e-9)
