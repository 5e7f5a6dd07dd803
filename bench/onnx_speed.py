"""Size, time and agreement of exported networks in ONNX Runtime: python bench/onnx_speed.py [--quick] [--out FILE]

ResNet-18, ResNet-50 and MobileNetV2 at 224 x 224 with random weights, batch 1, one thread: full precision against the files
that run in integers, which take turns image by image so that what else the machine does meets all alike. ResNet-20 for
CIFAR-10, trained, is measured in size and agreement. How often file and simulation give the same answer is counted on random
images; of random weights the answers lie close together, so that is a hard test. For figures to publish nothing else may run
on the machine."""
import json, statistics, tempfile
from importlib.metadata import version
from pathlib import Path
import torch
from options import Parser
from sadag_nb.core import processor, versions, write_text
from sadag_nb.deploy.onnx import OnnxNetwork, by_turns, export_onnx
from sadag_nb.graph.trace import trace
from sadag_nb.models.zoo import pretrained
from sadag_nb.quant.integers import fitted
from sadag_nb.quant.policy import Policy
from tabulate import tabulate

POLICIES = {b: Policy(b, symmetric=True, outputs=8) for b in ('w8a8', 'w4a4', 'w2a2')}
LARGE, SMALL = ('resnet18', 'resnet50', 'mobilenet_v2'), 'resnet20-cifar10'


def network(name):
    "A network of torchvision with batch norms such as training leaves, or an embedded one"
    if name == SMALL: return pretrained(name)
    net = pretrained(f'torchvision:{name}', 'random')
    torch.manual_seed(0)
    for m in net.modules():
        if not isinstance(m, torch.nn.BatchNorm2d): continue
        m.running_mean.normal_(0, .1); m.running_var.uniform_(.5, 2); torch.nn.init.uniform_(m.weight, .5, 1)
    return net


def exported(graph, x, folder):
    "Files by name, and how often each quantized one gives the simulation's answer on `x`, in percent"
    files, same = {'fp32': export_onnx(graph, folder/'fp32.onnx')}, {}
    for bits, policy in POLICIES.items():
        q = fitted(graph, policy, x[:8]); f = files[bits] = export_onnx(q, folder/f'{bits}.onnx'); served = OnnxNetwork(f, 1)
        pairs = [(q(b).argmax(1), served(b).argmax(1)) for b in x.split(32)]
        same[bits] = 100*torch.cat([a == b for a, b in pairs]).float().mean().item()
    return files, same


def rows(files, same, times):
    "A row a file: bytes, agreement, times, and how many times smaller and faster than full precision"
    size = {name: f.stat().st_size for name, f in files.items()}
    found = {name: dict(bytes=n, smaller=size['fp32']/n) for name, n in size.items()}
    for name, share in same.items(): found[name]['argmax'] = share
    for name, t in times.items():
        ratios = [a/b for a, b in zip(times['fp32'], t)]
        middle = statistics.median(t)
        found[name] |= dict(ms=middle, ms_least=min(t), faster=statistics.median(times['fp32'])/middle,
                            faster_by_turns=statistics.median(ratios))
    return found


def measure(name, images, repeats):
    "The rows of one network"
    net = network(name); x = torch.randn(images, *net.card.shape, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as d:
        files, same = exported(trace(net), x, Path(d))
        times = {} if name == SMALL else by_turns({k: OnnxNetwork(f, 1) for k, f in files.items()}, x[:1], repeats)
        return rows(files, same, times)


def main():
    a = Parser(__doc__, 'onnx_speed', 'onnx_results', 'one large network and a few repetitions, to see that it runs').parse_args(); torch.set_num_threads(1)
    repeats, found = 10 if a.quick else 200, {}
    for name in (LARGE[:1] if a.quick else LARGE)+(SMALL,):
        found[name] = measure(name, (8 if a.quick else 100) if name in LARGE else (100 if a.quick else 1000), repeats)
        print(name, tabulate([dict(file=k, **v) for k, v in found[name].items()], headers='keys', floatfmt='.2f'), sep='\n', flush=True)
    tools = {name: version(name) for name in ('onnx', 'onnxruntime')}
    write_text(a.out, json.dumps(dict(networks=found, repeats=repeats, processor=processor(), versions=dict(versions(), **tools)), indent=1))
    print('written to', a.out)


if __name__ == '__main__': main()
