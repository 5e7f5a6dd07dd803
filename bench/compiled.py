"""Whether torch.compile pays: python bench/compiled.py [--quick] [--out FILE]

Forward and backward of the probed ResNet-20, most of a synthesis step, as it is and compiled, on the same images, by turns. Compiling takes
seconds too, so the figure is the number of steps from which on it pays. Swinging convolutions draw their shift in Python, so this is the
network without them; PyTorch needs a C++ compiler for it. Nothing else may run on the machine meanwhile."""
import json, os, statistics, time
os.environ['TORCHINDUCTOR_FORCE_DISABLE_CACHES'] = '1'  # an earlier run's code would hide what compiling takes
import torch
from options import Parser
from sadag_nb.core import keep_memory, versions, write_text
from sadag_nb.graph.probe import probe
from sadag_nb.graph.trace import trace
from sadag_nb.models.zoo import pretrained


def step(network, x):
    "Seconds of one forward and backward, and the gradient at the images"
    start = time.perf_counter(); x.grad = None
    r = network(x)
    (sum(m.square().mean() for m in r.means) + sum((v - 1).square().mean() for v in r.variances)).backward()
    return time.perf_counter() - start, x.grad


def main():
    a = Parser(__doc__, 'compiled').parse_args(); n, turns = (8, 2) if a.quick else (128, 20); keep_memory()  # as synthesis does
    net = pretrained('resnet20-cifar10'); plain = probe(trace(net)).to(memory_format=torch.channels_last)
    compiled = torch.compile(plain, fullgraph=True)
    x = torch.randn(n, *net.card.shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=torch.channels_last).requires_grad_()
    first = step(compiled, x)[0]
    same = torch.cosine_similarity(step(plain, x)[1].flatten(), step(compiled, x)[1].flatten(), dim=0).item()
    assert same > .999, f'the compiled network has other gradients: their cosine is {same:.4f}'
    rows = [[step(f, x)[0] for f in (plain, compiled)] for _ in range(turns)]
    before, after = map(statistics.median, zip(*rows)); gain, compiling = before - after, first - after
    found = dict(seconds=dict(plain=before, compiled=after), compiling=compiling, ratio=before / after,
                 pays_after=compiling / gain if gain > 0 else None, images=n, versions=versions())
    print(json.dumps({k: found[k] for k in ('seconds', 'compiling', 'ratio', 'pays_after')}, indent=1))
    write_text(a.out, json.dumps(found, indent=1)); print('written to', a.out)


if __name__ == '__main__': main()
