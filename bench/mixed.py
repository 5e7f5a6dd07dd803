"""Mixed precision against uniform bits, HAWQ's order of units against front to back, sensitivities on synthetic against real images.

python bench/mixed.py --data cifar10-jpeg-test.tar.gz --train cifar10-jpeg-train.tar.gz --weights resnet20.safetensors

`w3a3` has the same bits in every layer, and `w3a3-order` rebuilds it in HAWQ's order. `w3a3-CRITERION` has no more bytes and no more
bit operations than w3a3, and bits of weights and activations are allocated by what rounding to nearest does; `w3a3-CRITERION-learnt` by
what learning leaves of it; `w3-CRITERION` has no more bytes, its activations stay at 3 bits. Results are written as they come, and a
stopped run goes on; images and sensitivities are kept in WORK, images where `sadag sweep` keeps its own."""
import argparse, json, time
from dataclasses import asdict
from pathlib import Path
import torch
from scipy.stats import spearmanr
from sadag_nb.app.sweep import ALGORITHM, Bench, Budget, Case, images_of, machine
from sadag_nb.core import versions, write_text
from sadag_nb.mixed.allocate import allocation, best, count, front, plan, rows_of, uniform_within
from sadag_nb.mixed.sensitivity import CRITERIA, OF_WEIGHTS_ALONE, Sensitivity, after_learning, harms_learnt, sensitivity, tuning_order
from sadag_nb.models.datasets import top1
from sadag_nb.quant.policy import Policy
from sadag_nb.quant.reconstruct import quantize

MADE,REAL = Case('genie','genie'),Case('real','real-random')
KINDS = ['w3a3','w3a3-kl-learnt','w3a3-kl','w3-kl','w3a3-order','w3a3-trace','w3-trace','w3-eigenvalue','w3a3-error','w3a3-error-learnt',
         'w4a4','w4a4-kl-learnt'] # every seed
FRONT = ['w2a2','w2a2-kl','w2a2-kl-learnt','w4a4-kl'] # other points of the front, first seed alone


def table(bench, case, criterion, seed):
    "Sensitivities on a case's images, measured once and kept"
    file = bench.file('sensitivity', f'{bench.images_key(case,seed)}-{criterion}', 'json')
    if not file.is_file():
        x,_ = images_of(bench, case, seed); s = sensitivity(bench.graph, x, criterion, seed=seed)
        numbers = {k:None if v is None else v.tolist() for k,v in (('weights',s.weights),('inputs',s.inputs))}
        write_text(file, json.dumps(dict(numbers, layers=s.layers, families=s.families)))
    r = json.loads(file.read_text()); weights,inputs = (r[k] and torch.tensor(r[k]) for k in ('weights','inputs'))
    return Sensitivity(criterion, r['layers'], weights, [tuple(f) for f in r['families']], inputs)


def left(bench, kind, seed):
    "What learning leaves of the harm of weights alone and of tensors alone, measured once and kept"
    few,(x,_) = uniform_within(task(bench,kind)),images_of(bench,MADE,seed); file = bench.file('sensitivity', f'{bench.images_key(MADE,seed)}-learnt-{few.bits}', 'json')
    if not file.is_file():
        weights,inputs = harms_learnt(bench.graph, x, few, bench.budget.unit_steps, seed); write_text(file, json.dumps(dict(bits=few.bits, weights=weights, inputs=inputs)))
    return json.loads(file.read_text())


def task(bench, kind):
    "What is allocated for a kind, and by which criterion"
    uniform,criterion,*_ = kind.split('-'); costs = count(bench.graph)
    bits = Policy(uniform if 'a' in uniform else f'{uniform}a3').resolve(bench.graph)
    limits = {by:costs.total(by,bits) for by in (('size','bitops') if 'a' in uniform else ('size',))}
    return plan(bench.graph, criterion=criterion, activations=None if 'a' in uniform else 3, **limits)


def policy_of(bench, kind, seed):
    "The policy of a row, and its order of units"
    uniform,*how = kind.split('-')
    if not how: return Policy(uniform),None
    if how==['order']: return Policy(uniform),tuning_order(table(bench,MADE,'eigenvalue',seed), bench.graph, Policy(uniform))
    p,sens = task(bench,kind),table(bench,MADE,how[0],seed)
    if 'learnt' in how: r = left(bench,kind,seed); sens = after_learning(sens, bench.graph, Policy(r['bits']), (r['weights'],r['inputs']))
    return best(sens, p.costs, p.choices, p.limits).policy(p.policy),None


def parts_of(bench, kind, seed):
    "Name of the folder of a row's finished units"
    return f'mixed-{bench.images_key(MADE,seed)}-{kind}'


def row(bench, kind, seed):
    "One network: its bits, what they cost, the harm foreseen (by KL) and its accuracy"
    (policy,order),(x,_) = policy_of(bench,kind,seed),images_of(bench,MADE,seed)
    a = allocation(table(bench,MADE,'kl',seed), count(bench.graph), policy.resolve(bench.graph)); start = time.perf_counter()
    with bench.unfinished(parts_of(bench,kind,seed)) as parts:
        q = quantize(bench.net, x, policy, bench.budget.unit_steps, seed=seed, device=bench.device, save=parts, order=order, views=MADE.views)
    seconds = round(time.perf_counter()-start,1)
    return dict(kind=kind, seed=seed, views=MADE.views, top1=top1(q,bench.test,bench.device), seconds=seconds, sensitivity=a.sensitivity, **a.cost,
                layers={n:[b.weights,b.input] for n,b in a.bits.items()}, order=order, **({'left':left(bench,kind,seed)} if kind.endswith('learnt') else {}))


def ranks(bench, criterion, seed):
    "Spearman's correlation of the sensitivities on synthetic and on real images, and on two draws of real images"
    made,real,other = (table(bench,c,criterion,s) for c,s in ((MADE,seed),(REAL,seed),(REAL,seed+100)))
    def rho(a, b): return round(float(spearmanr(a.flatten(),b.flatten()).statistic),4)
    def both(s): return s.weights if s.inputs is None else torch.cat([s.weights,s.inputs])
    return dict(criterion=criterion, seed=seed, synthetic=rho(both(made),both(real)), real=rho(both(other),both(real)),
                synthetic_w3=rho(made.weights[:,1],real.weights[:,1]), real_w3=rho(other.weights[:,1],real.weights[:,1]))


def timed(f, *args, **kwargs):
    "What `f` gives, and the seconds it took"
    start = time.perf_counter(); found = f(*args, **kwargs)
    return found, round(time.perf_counter()-start,2)


def fronts(bench, criteria, seed):
    "Seconds of each criterion, of what learning leaves and of whole fronts of 2 to 8 bits, on what machine, and the points of a picture"
    p,rows,(x,_) = task(bench,'w3a3-kl'),[],images_of(bench,MADE,seed)
    _,learning = timed(harms_learnt, bench.graph, x, uniform_within(p), bench.budget.unit_steps, seed)
    for c in criteria:
        alone = c in OF_WEIGHTS_ALONE; of = task(bench,f'w3-{c}') if alone else p; s,seconds = timed(sensitivity, bench.graph, x, c, seed=seed)
        for by in of.limits:
            points,took = timed(front, s, of.costs, of.choices, by)
            rows.append(dict(criterion=c, by=by, sensitivity_seconds=seconds, learning_seconds=0. if alone else learning, front_seconds=took, points=len(points)))
    s = table(bench,MADE,'kl',seed); drawn = rows_of(p, s, best(s,p.costs,p.choices,p.limits))
    return dict(machine=machine('cpu'), seconds=rows, drawn=[r for r in drawn if r['stage']=='front' and r['by']=='bitops'])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', required=True, help='labelled test images: folder or archive')
    parser.add_argument('--train', required=True, help='real training images, for the correlations')
    parser.add_argument('--model', default='resnet20-cifar10')
    parser.add_argument('--weights', help='weights file; default: the embedded ones')
    parser.add_argument('--kinds', nargs='+', default=KINDS, metavar='KIND', help=f"default: {' '.join(KINDS)}")
    parser.add_argument('--front', nargs='*', default=FRONT, metavar='KIND', help=f"of the first seed alone; default: {' '.join(FRONT)}")
    parser.add_argument('--criteria', nargs='*', default=list(CRITERIA), choices=CRITERIA, help='that are timed and compared on real images; default: all')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0,1,2])
    parser.add_argument('--n', type=int, default=128, help='images')
    parser.add_argument('--steps', type=int, default=300, help='generator steps of a batch')
    parser.add_argument('--unit-steps', type=int, default=400, help='reconstruction steps of a unit')
    parser.add_argument('--work', default='runs/sweeps', help='folder of images and sensitivities')
    parser.add_argument('--out', default='nbs/experiments/results/mixed.json')
    a = parser.parse_args(); budget,out = Budget(a.n,a.steps,a.unit_steps),Path(a.out)
    bench = Bench(a.work, a.model, a.weights, a.data, a.train, budget, 'cpu')
    settings = dict(model=a.model, weights_sha256=bench.sha, recipe=MADE.recipe, budget=asdict(budget), algorithm=ALGORITHM)
    found = json.loads(out.read_text()) if out.is_file() else dict(settings, fp_top1=top1(bench.net,bench.test), runs=[], ranks=[])
    if {k:found.get(k) for k in settings}!=settings: parser.error(f'{out} was made with other settings: give another --out')

    def keep(where, compute, *key): # kind or criterion, and seed
        if any((r.get('kind') or r['criterion'],r['seed'])==key for r in found[where]): return
        found[where].append(compute(bench,*key)); write()
        bench.clear(parts_of(bench,*key))
        print({k:v for k,v in found[where][-1].items() if k!='layers'}, flush=True)
    def write(): write_text(out, json.dumps(dict(found, machine=machine('cpu'), versions=versions()), indent=1))

    if 'fronts' not in found: found['fronts'] = fronts(bench, a.criteria, a.seeds[0]); write(); print(found['fronts']['seconds'], flush=True)
    for kind in a.kinds:
        for seed in a.seeds: keep('runs', row, kind, seed)
    for kind in a.front: keep('runs', row, kind, a.seeds[0])
    for criterion in a.criteria:
        for seed in a.seeds: keep('ranks', ranks, criterion, seed)


if __name__ == '__main__': main()
