"""Time and size of exported networks in ONNX Runtime, in one run: python bench/onnx_speed.py [--quick] [--out FILE]

ResNet-18 at 224 x 224, batch 1, one thread, random weights: full precision against the integer files, which take turns
image by image so that what else the machine does meets all alike. ResNet-20 is measured in size only. For figures to
publish nothing else may run on the machine."""
import argparse, json, statistics, tempfile, time
from importlib.metadata import version
from pathlib import Path
import torch
from sadag_nb.core import versions, write_text
from sadag_nb.deploy.onnx import OnnxNetwork, export_onnx, integer_network
from sadag_nb.graph.trace import trace
from sadag_nb.models.zoo import pretrained
from sadag_nb.quant.policy import Policy
from sadag_nb.quant.prepare import fitting, prepare
from tabulate import tabulate

POLICIES = ('w8a8', 'w4a4', 'w2a2')


def exported(graph, x, folder):
    "Files of a network: full precision, and quantized by each policy in integers all the way"
    files = {'fp32': export_onnx(graph, folder/'fp32.onnx')}
    for bits in POLICIES:
        q = prepare(graph, Policy(bits, symmetric=True))
        with torch.no_grad(), fitting(q): q(x)
        files[bits] = export_onnx(integer_network(q, x), folder/f'{bits}.onnx')
    return files


def milliseconds(networks, x, repeats):
    "Times of each network on one image, by turns, after a few that do not count"
    times = {name: [] for name in networks}
    for i in range(repeats+3):
        for name, net in networks.items():
            start = time.perf_counter(); net(x); times[name].append(1e3*(time.perf_counter()-start))
    return {name: t[3:] for name, t in times.items()}


def rows(files, times=None):
    "A row a file: bytes and times, and how many times smaller and faster than full precision"
    size = {name: f.stat().st_size for name, f in files.items()}
    found = {name: dict(bytes=n, smaller=size['fp32']/n) for name, n in size.items()}
    for name, t in (times or {}).items():
        ratios = [a/b for a, b in zip(times['fp32'], t)]
        middle = statistics.median(t)
        found[name] |= dict(ms=middle, ms_least=min(t), faster=statistics.median(times['fp32'])/middle,
                            faster_by_turns=statistics.median(ratios))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='a few repetitions only, to see that it runs')
    parser.add_argument('--out', default='nbs/deploy/results/onnx.json', help='where the figures are written')
    a = parser.parse_args(); torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as d:
        folders = [Path(d)/n for n in ('large', 'small')]
        for f in folders: f.mkdir()
        net = pretrained('torchvision:resnet18', 'random')
        x = torch.randn(8, *net.card.shape, generator=torch.Generator().manual_seed(0))
        large = exported(trace(net), x, folders[0])
        times = milliseconds({k: OnnxNetwork(f, 1) for k, f in large.items()}, x[:1], 10 if a.quick else 200)
        net = pretrained('resnet20-cifar10'); small = exported(trace(net), torch.randn(64, *net.card.shape), folders[1])
        found = {'resnet18': rows(large, times), 'resnet20': rows(small)}
    for name, r in found.items():
        print(name, tabulate([dict(file=k, **v) for k, v in r.items()], headers='keys', floatfmt='.2f'), sep='\n')
    tools = {name: version(name) for name in ('onnx', 'onnxruntime')}
    write_text(a.out, json.dumps(dict(found, repeats=len(times['fp32']), versions=dict(versions(), **tools)), indent=1))
    print('written to', a.out)


if __name__ == '__main__': main()
