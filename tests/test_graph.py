"The graph's promises on the networks people bring: probe, units and prepare against the network itself"
import copy
import pytest, torch
from torch import nn
from torch.nn.utils import parametrize
from sadag_nb.core import frozen, torchvision
from sadag_nb.graph.probe import probe
from sadag_nb.graph.trace import Layer, fold, nodes_of, trace
from sadag_nb.graph.units import units
from sadag_nb.models.zoo import resnet56
from sadag_nb.quant.lsq import ActivationQuantizer
from sadag_nb.quant.prepare import full_precision, layers, prepare

NAMES = ['resnet18', 'resnet50', 'mobilenet_v2', 'regnet_x_400mf', 'efficientnet_b0', 'vgg16_bn', 'densenet121', 'resnet56']

@pytest.fixture(scope='module', params=NAMES)
def case(request):
    "A network with batch-norm statistics such as training leaves, its graph, a batch of images"
    torch.manual_seed(0)
    model = resnet56() if request.param=='resnet56' else torchvision.models.get_model(request.param, weights=None)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d): m.running_mean.normal_(0,.1); m.running_var.uniform_(.5,2); nn.init.uniform_(m.weight,.5,1)
    x = torch.randn(2, 3, 64, 64)
    return frozen(model), trace(model, (3,64,64)), x

def close(a, b):
    "Equal up to float32 rounding, measured against the size of the values"
    assert (a-b).abs().max() <= 1e-4*b.abs().max()+1e-6

def test_probe_equals_network_and_hooks(case):
    model, graph, x = case; seen = []
    hooks = [m.register_forward_hook(lambda m, i, o: seen.append((m, i[0]))) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    logits = model(x)
    for h in hooks: h.remove()
    r = probe(graph)(x)
    close(r.logits, logits)
    assert len(r.means) == len(seen)
    for m, v, (bn, t) in zip(r.means, r.variances, seen):
        sigma2 = bn.running_var+bn.eps
        close(m*sigma2.sqrt()+bn.running_mean, t.mean((0,2,3))); close(v*sigma2, t.var((0,2,3), correction=0))

def through_hooks(model, x):
    "Logits, and every batch norm's mean and variance in units of the stored ones"
    seen, found = [], []
    hooks = [m.register_forward_hook(lambda m, i, o: seen.append((m, i[0].mean((0,2,3)), i[0].var((0,2,3), correction=0)))) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    logits = model(x)
    for h in hooks: h.remove()
    for bn, m, v in seen: sigma2 = bn.running_var+bn.eps; found += [(m-bn.running_mean)/sigma2.sqrt(), v/sigma2]
    return [logits, *found]

def test_gradients_of_the_probe_are_those_of_the_network(case):
    "Of all that it reports together, and of the logits and one statistic in the middle alone; gradients are written over on the way. In float64: no rectifier is on the edge"
    model, graph, x = case; model, x = copy.deepcopy(model).double(), x.double(); p = probe(graph).double().to(memory_format=torch.channels_last)
    def of(outputs, x, which):
        g = torch.Generator().manual_seed(0); weights = [torch.randn(t.shape, generator=g, dtype=t.dtype) for t in outputs]
        return torch.autograd.grad(sum((outputs[i]*weights[i]).sum() for i in which), x)[0]
    for which in (slice(None), slice(0, 1), slice(7, 8)):
        a, b = (x.clone().contiguous(memory_format=torch.channels_last).requires_grad_() for _ in (0, 1))
        r = p(a); read = [r.logits, *(t for mv in zip(r.means, r.variances) for t in mv)]; hooked = through_hooks(model, b)
        which = range(len(read))[which]; a, b = of(read, a, which), of(hooked, b, which)
        assert (a-b).norm() < 1e-6*b.norm()

def test_units_compose_to_the_network(case):
    _, graph, x = case; y, us = x, units(fold(graph))
    for u in us: y = u.module(y)
    close(y, graph(x))
    assert [n.target for u in us for n in nodes_of(u.module, Layer)] == [n.target for n in nodes_of(graph, Layer)]

def test_prepared_is_unchanged_when_off_and_quantized_when_on(case):
    model, graph, x = case; q = prepare(graph, 'w8a8', init=False)
    with full_precision(q): close(q(x), model(x))
    found = layers(q)
    assert list(found) == list(dict.fromkeys(n.target for n in nodes_of(graph, Layer)))
    assert all(parametrize.is_parametrized(l, 'weight') for l in found.values())
    quantized = nodes_of(q, (ActivationQuantizer,))
    assert len({n.args[0] for n in quantized}) == len(quantized)          # one quantizer a tensor
    assert all(list(n.args[0].users) == [n] for n in quantized)           # and nobody reads past it
