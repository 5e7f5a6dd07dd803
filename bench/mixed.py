"""Mixed precision against uniform W3A3 on CIFAR-10; results are written as they come, and a stopped run goes on.

python bench/mixed.py --test cifar10-jpeg-test.tar.gz --weights resnet20.safetensors
No network is larger than uniform W3. `w3a3-CRITERION` also keeps to W3A3's bit operations and allocates the activations
with them; `w3-CRITERION` allocates the weights alone, activations stay at 3 bits, and bit operations may be more."""
import argparse, json, time
from pathlib import Path
from sadag_nb.core import load_tensors, save_tensors, versions, write_text
from sadag_nb.graph.trace import trace
from sadag_nb.mixed.allocate import best, count, plan
from sadag_nb.mixed.sensitivity import CRITERIA, OF_WEIGHTS_ALONE, sensitivity
from sadag_nb.models.datasets import loader, open_images, top1
from sadag_nb.models.zoo import pretrained
from sadag_nb.quant.policy import Policy
from sadag_nb.quant.reconstruct import quantize
from sadag_nb.synth.synthesize import synthesize

KINDS = ['w3a3', *(f'w3-{c}' for c in CRITERIA), *(f'w3a3-{c}' for c in CRITERIA if c not in OF_WEIGHTS_ALONE)]


def images_of(seed, a, net):
    "Calibration images, made once and kept"
    file = Path(a.work) / f'{a.recipe}-{a.n}-{a.steps}-{seed}.safetensors'
    if not file.is_file(): save_tensors(file, {'images': synthesize(net, a.recipe, n=a.n, steps=a.steps, seed=seed)})
    return load_tensors(file)[0]['images']


def policy_of(kind, graph, x, seed):
    "The policy of a row, and what it costs"
    costs, uniform = count(graph), Policy('w3a3').resolve(graph)
    if kind == 'w3a3': return Policy('w3a3'), {by: costs.total(by, uniform) for by in ('size', 'bitops')}
    which, criterion = kind.split('-')
    limits = {by: costs.total(by, uniform) for by in (('size',) if which == 'w3' else ('size', 'bitops'))}
    p = plan(graph, criterion=criterion, activations=3 if which == 'w3' else None, **limits)
    found = best(sensitivity(graph, x, criterion, seed=seed), p.costs, p.choices, p.limits)
    return found.policy(p.policy), found.cost


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--test', required=True, help='labelled test images: folder or archive')
    parser.add_argument('--weights', help='of a ResNet-20; default: the embedded ones')
    parser.add_argument('--kinds', nargs='+', default=KINDS, choices=KINDS)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--recipe', default='genie')
    parser.add_argument('--n', type=int, default=128, help='images')
    parser.add_argument('--steps', type=int, default=300, help='generator steps of a batch')
    parser.add_argument('--unit-steps', type=int, default=400, help='reconstruction steps of a unit')
    parser.add_argument('--work', default='runs/cifar10', help='where images are kept')
    parser.add_argument('--out', default='nbs/mixed/results/mixed.json')
    a = parser.parse_args()
    net = pretrained('resnet20-cifar10', a.weights)
    graph, data, out = trace(net), loader(open_images(a.test, net.card), net.card), Path(a.out)
    rows = json.loads(out.read_text())['runs'] if out.is_file() else []
    settings = dict(network=net.card.name, recipe=a.recipe, n=a.n, steps=a.steps, unit_steps=a.unit_steps, batch=32)
    done = {(r['kind'], r['seed']) for r in rows}
    fp = top1(net, data)
    for seed in a.seeds:
        for kind in a.kinds:
            if (kind, seed) in done: continue
            x = images_of(seed, a, net)
            start = time.perf_counter()
            policy, cost = policy_of(kind, graph, x, seed)
            seconds = time.perf_counter() - start
            q = quantize(net, x, policy, steps=a.unit_steps, seed=seed)
            rows.append(dict(kind=kind, seed=seed, top1=top1(q, data), allocation_seconds=round(seconds, 1), **cost,
                             layers=policy.layers))
            print(kind, seed, rows[-1]['top1'], f'{seconds:.1f} s', cost, flush=True)
            write_text(out, json.dumps(dict(settings, fp_top1=fp, versions=versions(), runs=rows), indent=1))


if __name__ == '__main__': main()
