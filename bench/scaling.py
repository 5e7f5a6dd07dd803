"""Speed of two ranks against one, each with one thread: python bench/scaling.py [--quick] [--out FILE]

Synthesis: batches of 128 images of ResNet-20's CIFAR shape, as many for two ranks as for one; reconstruction: all units, 32
images a step, the same batch parted. Two processes are started each time, and the shortest of a few times taken; the first
work of a process, compiling and warming up, is apart. Nothing else may run on the machine meanwhile."""
import argparse, json, os, subprocess, sys, tempfile, time
from pathlib import Path
import torch
from sadag_nb.core import versions, write_text
from sadag_nb.graph.trace import trace
from sadag_nb.models.zoo import pretrained
from sadag_nb.quant.prepare import prepare
from sadag_nb.quant.reconstruct import reconstruct
from sadag_nb.ranks import from_first, joined, rank, torchrun
from sadag_nb.synth.synthesize import synthesize
from tabulate import tabulate

EXPECTED = {'synthesis': 1.8, 'reconstruction': 1.6}  # what two ranks should gain


def jobs(net, quick):
    "What is timed, by name"
    batch, steps, unit_steps, n = (8, 3, 2, 32) if quick else (128, 24, 200, 128)
    x = torch.randn(n, *net.card.shape, generator=torch.Generator().manual_seed(0))
    return {'synthesis': lambda: synthesize(net, 'sadag', n=2 * batch, batch=batch, steps=steps, device='cpu'),
            'reconstruction': lambda: reconstruct(prepare(trace(net), 'w4a4'), x, unit_steps, 32)}


def seconds(job, repeats):
    "Shortest time of a job, from all ranks ready to all done"
    def once():
        from_first(bool); start = time.perf_counter(); job(); from_first(bool)
        return time.perf_counter() - start
    return min(once() for _ in range(repeats))


def worker(out, quick):
    "What each rank does"
    torch.set_num_threads(1)
    with joined():
        net = pretrained('resnet20-cifar10')
        for job in jobs(net, True).values(): job()
        found = {name: seconds(job, 1 if quick else 3) for name, job in jobs(net, quick).items()}
        if rank() == 0: write_text(out, json.dumps(found))


def measured(ranks, quick):
    "Seconds of each job in so many processes"
    with tempfile.TemporaryDirectory() as d:
        out = Path(d) / 'seconds.json'
        command = torchrun(ranks, __file__, '--worker', '--out', out, *(['--quick'] if quick else []))
        subprocess.run(command, check=True, env=dict(os.environ, OMP_NUM_THREADS='1', MKL_NUM_THREADS='1'))
        return json.loads(out.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='a few steps only, to see that it runs')
    parser.add_argument('--worker', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--out', help='where the figures are written (default: bench/scaling.json; build/quick-scaling.json with --quick)')
    a = parser.parse_args()
    if a.worker: return worker(a.out, a.quick)
    one, two = (measured(r, a.quick) for r in (1, 2))
    found = {name: one[name] / two[name] for name in one}
    print(tabulate([(name, one[name], two[name], found[name], EXPECTED[name]) for name in one],
                   ('', '1 rank, s', '2 ranks, s', 'ratio', 'expected at least'), floatfmt='.2f'))
    out = a.out or ('build/quick-scaling.json' if a.quick else 'bench/scaling.json')
    write_text(out, json.dumps(dict(ratios=found, seconds={'1': one, '2': two}, expected=EXPECTED, cores=os.cpu_count(), versions=versions()), indent=1))
    print('written to', out)


if __name__ == '__main__': sys.exit(main())
