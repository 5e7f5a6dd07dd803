"""What the paper's budget takes on networks of ImageNet size: python bench/large.py [--networks NAME ...] [--share S] [--quick] [--out FILE]

1 024 images of 224 x 224 pixels by `sadag`, and W4A4, on an accelerator if there is one: ResNet-18 at 4 000 steps a batch and 20 000 a unit,
ResNet-50 and MobileNetV2 at a twentieth of both, or each network at the share of the steps that is given. Random weights, as no time depends
on them. A row a network: steps a second, what is done once apart; how much of the measured peak rate of matrix products they reach; the
most memory; and the minutes that the whole budget takes at these rates. A row is written as soon as it is finished, and one that is
there, of the same machine, is not computed again."""
import json, time
import torch
from onnx_speed import LARGE, SMALL, network
from options import Parser
from sadag_nb.app.cli import BUDGETS
from sadag_nb.app.sweep import machine
from sadag_nb.core import default_device, fast_dtype, peak_mib, versions, write_text
from sadag_nb.graph.trace import trace
from sadag_nb.graph.units import units
from sadag_nb.quant.prepare import prepare
from sadag_nb.quant.reconstruct import mirrored, reconstruct
from sadag_nb.synth.synthesize import synthesize
from tabulate import tabulate
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

PAPER, BATCH, SHARES = BUDGETS['paper'], 128, {'resnet18': 1.}  # images made together; of the steps, a twentieth where nothing is said


def peak(device, dtype, n, repeats=10):
    "Floating-point operations a second of a product of square matrices, the best of a few"
    a, best = torch.randn(n, n, device=device, dtype=dtype), float('inf')
    for _ in range(repeats):
        start = time.perf_counter(); (a @ a)[0, 0].item(); best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


class Counted(TorchDispatchMode):
    "Counts floating-point operations; PyTorch's own context for it does not let single gradients be asked for"
    def __init__(self): super().__init__(); self.flops = 0
    def __torch_dispatch__(self, f, types, args=(), kwargs=None):
        out, count = f(*args, **(kwargs or {})), flop_registry.get(f.overloadpacket)
        if f.overloadpacket is torch.ops.aten.convolution_backward:  # whose entry forgets the groups; gradients of images and of weights
            self.flops += sum(args[10][:2]) * 2 * (args[1] if args[7] else args[0]).numel() * args[2][0].numel()
        elif count: self.flops += count(*args, **(kwargs or {}), out_val=out)
        return out


def a_step(run, few):
    "Operations of one of the steps that `run` takes a number of: what twice as `few` need more"
    def counted(steps):
        with Counted() as c: run(steps)
        return c.flops
    return (counted(2 * few) - counted(few)) / few


def timed(run, steps, few, most):
    "What `run(steps)` gives; the seconds of a step and of what is done once, by the slope from `few` steps on; and the share of the rate `most` that is reached"
    def seconds(n): start = time.perf_counter(); result = run(n); return result, time.perf_counter() - start
    work = a_step(run, few); (_, short), (result, long) = seconds(few), seconds(steps); step = (long - short) / (steps - few)
    return result, dict(step=step, once=long - steps * step, share_of_peak=work / step / most)


def memory_gib(device):
    "The most memory that was in use: of the accelerator, if the work was there, else of the process since it began"
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == 'cuda' else peak_mib() / 2**10


def row(name, share, n, pixels, device, most):
    "What one network takes at a share of the steps"
    net = network(name); graph = trace(net, (3, pixels, pixels)); batches = -(-n // BATCH); made = {}
    if device.type == 'cuda': torch.cuda.reset_peak_memory_stats(device)
    def make(steps): return synthesize(net, 'sadag', n=min(n, BATCH), steps=steps, shape=graph.shape, device=device)
    x, made['synthesis'] = timed(make, max(18, round(share * PAPER['steps'])), 6, most)  # one batch: the others are like it
    x = mirrored(x.repeat(batches, 1, 1, 1)[:n])
    def learn(steps): return reconstruct(prepare(graph, 'w4a4', norms=False).to(device), x, steps)
    _, made['reconstruction'] = timed(learn, max(4, round(share * PAPER['unit_steps'])), 1, most)  # a step is one of every unit
    whole = sum(k * PAPER[n] * t['step'] + t['once'] for k, n, t in ((batches, 'steps', made['synthesis']), (1, 'unit_steps', made['reconstruction'])))
    return dict(network=name, pixels=pixels, images=n, share=share, units=len(units(graph)), **made, memory_gib=memory_gib(device), paper_minutes=whole / 60)


def told(r):
    "A row in figures for people"
    rates = [f(r[k]) for k in ('synthesis', 'reconstruction') for f in (lambda v: 1 / v['step'], lambda v: 100 * v['share_of_peak'])]; rates[2] *= r['units']
    return [r['network'], r['images'], r['share'], *rates, r['memory_gib'], r['paper_minutes']]


HEAD = ('network', 'images', 'share', 'synthesis, steps/s', '% of peak', 'reconstruction, steps/s', '% of peak', 'GiB', 'paper, minutes')


def main():
    parser = Parser(__doc__, 'large', quick='a small network and a few steps, to see that it runs')
    parser.add_argument('--networks', nargs='+', choices=LARGE, default=LARGE, help='only these (default: all)')
    parser.add_argument('--share', type=float, help="share of the paper's steps to run, such as 0.05, for every network")
    parser.add_argument('--device', help='cpu or cuda (default: the accelerator, if there is one)')
    a = parser.parse_args(); device = torch.device(a.device or default_device()); dtype = fast_dtype(device)
    most = peak(device, dtype, 8192 if device.type == 'cuda' else 1024); n, pixels = (8, 32) if a.quick else (PAPER['n'], 224)
    here = dict(machine=machine(device), format=str(dtype).removeprefix('torch.')); old = json.loads(a.out.read_text()) if a.out.is_file() and not a.quick else {}
    found = dict(here, peak_tflops=most / 1e12, rows=old['rows'] if here.items() <= old.items() else [], versions=versions())
    for name in [SMALL] if a.quick else a.networks:
        share = 1e-4 if a.quick else a.share or SHARES.get(name, .05)
        if any((r['network'], r['share']) == (name, share) for r in found['rows']): continue
        found['rows'].append(row(name, share, n, pixels, device, most)); write_text(a.out, json.dumps(found, indent=1))
        print(tabulate([told(found['rows'][-1])], HEAD, floatfmt='.3g'), flush=True)
    print('written to', a.out)


if __name__ == '__main__': main()
