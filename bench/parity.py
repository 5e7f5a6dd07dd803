"""Do ONNX Runtime, the network in integers and the simulated network give the same answers?  python bench/parity.py [--quick] [--images 1000] [--out FILE]

ResNet-18, ResNet-50 and MobileNetV2 at 224 x 224 with random weights on random images, on which the answers lie close together,
and ResNet-20 for CIFAR-10, trained. A row a network and policy, written when it is done; rows that are there are not computed again."""
import json, tempfile
from pathlib import Path
import torch
from onnx_speed import LARGE, POLICIES, SMALL, network
from options import Parser
from sadag_nb.core import Progress, read_json, versions, write_text
from sadag_nb.deploy.integer_network import IntegerNetwork
from sadag_nb.deploy.onnx import OnnxNetwork, export_onnx, runtime_codes
from sadag_nb.graph.trace import trace
from sadag_nb.quant.integers import fitted
from tabulate import tabulate


def codes_that_differ(integers, q, path, x):
    "Of the codes for images `x`: how many there are, and how many the integers have otherwise than the runtime"
    ours, (theirs, _) = integers.codes(x), runtime_codes(q, path, x)
    return sum(c.numel() for c in theirs.values()), sum(int((ours[k] != c).sum()) for k, c in theirs.items())


@torch.no_grad()
def row(name, policy, images, folder, batch=25):
    "How the three agree on `images` random images"
    net = network(name); x = torch.randn(images, *net.card.shape, generator=torch.Generator().manual_seed(0))
    q = fitted(trace(net), policy, x[:8]); path = export_onnx(q, Path(folder)/'q.onnx'); served, integers = OnnxNetwork(path, 1), IntegerNetwork(q)
    same, apart = torch.zeros(2), torch.zeros(2)
    with Progress(-(-images//batch), f'{name} {policy.bits}') as progress:
        for b in x.split(batch):
            z = served(b); found = [m(b) for m in (q, integers)]
            same += torch.tensor([(y.argmax(1) == z.argmax(1)).sum() for y in found])
            apart = torch.maximum(apart, torch.stack([(y-z).abs().max()/(z.max()-z.min()) for y in found])); progress.step()
    codes, differ = codes_that_differ(integers, q, path, x[:batch])
    return dict(network=name, policy=policy.bits, images=images, **dict(zip(('simulated', 'integers'), (100*same/images).tolist())),
                **dict(zip(('simulated_logits', 'integer_logits'), apart.tolist())), codes=codes, differ=differ)


def main():
    parser = Parser(__doc__, 'parity', quick='the small network alone, to see that it runs')
    parser.add_argument('--images', type=int, default=1000)
    a = parser.parse_args(); torch.set_num_threads(1)
    rows = read_json(a.out)['rows'] if a.out.is_file() else []
    for name in (SMALL,)+(() if a.quick else LARGE):
        for policy in POLICIES.values():
            if any((r['network'], r['policy'], r['images']) == (name, policy.bits, a.images) for r in rows): continue
            with tempfile.TemporaryDirectory() as d: rows.append(row(name, policy, a.images, d))
            write_text(a.out, json.dumps(dict(rows=rows, versions=versions()), indent=1))
    print(tabulate(rows, headers='keys', floatfmt='.4g'), f'written to {a.out}', sep='\n')


if __name__ == '__main__': main()
