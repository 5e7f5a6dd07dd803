"""Speed of two ranks against one, each with one thread: python bench/scaling.py [--quick] [--out FILE]

Synthesis: batches of 128 images of ResNet-20's CIFAR shape, as many for two ranks as for one. Reconstruction: the steps of all units,
32 images each, the same batch parted; of that network, whose steps are short, and of ResNet-18 at 224 x 224 with random weights. Two
processes are started each time, one and two by turns, and the shortest of the times taken; a first small piece of work, which warms up, is apart.
Beside them the time that ranks take to meet at all, after a few milliseconds of work.
Nothing else may run on the machine meanwhile."""
import argparse, json, os, statistics, subprocess, sys, tempfile, time
from pathlib import Path
from unittest.mock import patch
import torch
import sadag_nb.quant.reconstruct as module
from options import Parser
from sadag_nb.core import processor, versions, write_text
from sadag_nb.graph.trace import trace
from sadag_nb.models.zoo import pretrained
from sadag_nb.quant.prepare import prepare
from sadag_nb.ranks import averaged, from_first, joined, rank, torchrun
from sadag_nb.synth.synthesize import synthesize
from tabulate import tabulate

EXPECTED = {'synthesis': 1.8, 'reconstruction': 1.6, 'reconstruction, ResNet-18': 1.6}  # what two ranks should gain
SMALL, LARGE = 'resnet20-cifar10', 'torchvision:resnet18'


def synthesis(net, batch, steps):
    "Seconds of making as many batches as there may be ranks"
    from_first(bool); start = time.perf_counter()
    synthesize(net, 'sadag', n=2 * batch, batch=batch, steps=steps, device='cpu'); from_first(bool)
    return time.perf_counter() - start


def reconstruction(net, n, steps):
    "Seconds of the steps of all units; of a unit that begins again, those of the last time"
    spent, learn = {}, module._learn
    def timed(unit, *rest):
        start = time.perf_counter(); rows = learn(unit, *rest); spent[unit.name] = time.perf_counter() - start
        return rows
    with patch.object(module, '_learn', timed):
        module.reconstruct(prepare(trace(net), 'w4a4'), torch.randn(n, *net.card.shape, generator=torch.Generator().manual_seed(0)), steps, 32)
    return sum(spent.values())


def meeting(work=.008, times=30):
    "Seconds, the median, in which ranks that have worked for a while average one number"
    x, found = torch.zeros(1), []
    for _ in range(times):
        end = time.perf_counter() + work
        while time.perf_counter() < end: pass
        start = time.perf_counter(); averaged([x]); found.append(time.perf_counter() - start)
    return statistics.median(found)


JOBS = {'synthesis': (synthesis, SMALL, (128, 16), (8, 4)), 'reconstruction': (reconstruction, SMALL, (128, 100), (32, 2)),
        'reconstruction, ResNet-18': (reconstruction, LARGE, (32, 8), (32, 2))}  # function, network, images and steps, and those of a quick run


def seconds(name, quick):
    "Seconds of a job; quick ones are all of the small network"
    job, net, full, small = JOBS[name]
    if quick: return job(pretrained(SMALL), *small)
    return job(pretrained(net, 'random' if net == LARGE else None), *full)


def worker(out, quick):
    "What each rank does"
    torch.set_num_threads(1)
    with joined():
        if not quick:
            for name in JOBS: seconds(name, quick=True) # warms up
        found = {name: seconds(name, quick) for name in JOBS} | {'meeting': meeting()}
        if rank() == 0: write_text(out, json.dumps(found))


def measured(ranks, quick):
    "Seconds of each job in so many processes"
    with tempfile.TemporaryDirectory() as d:
        out = Path(d) / 'seconds.json'
        command = torchrun(ranks, __file__, '--worker', '--out', out, *(['--quick'] if quick else []))
        subprocess.run(command, check=True, env=dict(os.environ, OMP_NUM_THREADS='1', MKL_NUM_THREADS='1'))
        return json.loads(out.read_text())


def main():
    parser = Parser(__doc__, 'scaling'); parser.add_argument('--worker', action='store_true', help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.worker: return worker(a.out, a.quick)
    turns = [[measured(r, a.quick) for r in (1, 2)] for _ in range(1 if a.quick else 2)]
    one, two = ({name: min(t[name] for t in of) for name in of[0]} for of in zip(*turns))
    found = {name: one[name] / two[name] for name in JOBS}
    print(tabulate([(name, one[name], two[name], found[name], EXPECTED[name]) for name in JOBS],
                   ('', '1 rank, s', '2 ranks, s', 'ratio', 'expected at least'), floatfmt='.2f'))
    print(f"a meeting of two ranks, with nothing to say: {1000 * two['meeting']:.2f} ms")
    write_text(a.out, json.dumps(dict(ratios=found, seconds={'1': one, '2': two}, steps={name: JOBS[name][3 if a.quick else 2][1] for name in JOBS}, expected=EXPECTED,
                                    processor=processor(), cores=os.cpu_count(), versions=versions()), indent=1))
    print('written to', a.out)


if __name__ == '__main__': sys.exit(main())
