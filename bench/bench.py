"""Speed of synthesis and reconstruction against the plain loops, in one run: python bench/bench.py [--quick] [--out FILE]

The plain synthesis loop is eager float32, the teacher's parameters ask for gradients, hooks collect batch-norm
statistics, and the generator enlarges before it convolves. The plain reconstruction is eager float32 in the default memory layout, lets autograd differentiate the
quantizers' formulas, draws one random number an element, and runs the network from its input for every unit.
Same networks, images, seeds, step counts and losses on both sides; `fast`, the budget of that name, also learns from mirror images. Synthesis: seconds of a step, set-up apart, the shortest of five; reconstruction: of
a whole run, the shorter of two; the loops by turns, in processes of their own. Nothing else may run on the machine meanwhile. Where the stored figures are of the same
processor, threads and number format, a ratio that is more than 15 % worse than its stored one fails, and the file is kept. A quick
run compares nothing."""
import argparse, json, math, subprocess, sys, time
from pathlib import Path
import torch
from options import Parser
from sadag_nb.app.cli import BUDGETS
from sadag_nb.core import fast_dtype, peak_mib, processor, seeded, versions, write_text
from sadag_nb.graph.probe import SwingConv2d
from sadag_nb.graph.trace import fold, trace
from sadag_nb.graph.units import cut, units
from sadag_nb.models.zoo import pretrained
from sadag_nb.quant.adaround import AdaRound, beta_at, rounding_penalty
from sadag_nb.quant.prepare import fitting, layers, prepare, quantizers, store, weight_of
from sadag_nb.quant.reconstruct import activation_lr, mirrored, reconstruct, rounding_lr
from sadag_nb.quant.lsq import ActivationQuantizer
from sadag_nb.synth.recipes import RECIPES
from sadag_nb.synth.source import UpConv2d, make_source
from sadag_nb.synth.synthesize import synthesize
from tabulate import tabulate


def plain_generator(source):
    "The same generator as GENIE writes it: pixels are repeated, then convolved at the large size"
    for k, m in enumerate(source.layers):
        if not isinstance(m, UpConv2d): continue
        conv = torch.nn.Conv2d(m.in_channels, m.out_channels, 3, padding=1); conv.load_state_dict(m.state_dict())
        source.layers[k] = torch.nn.Sequential(torch.nn.Upsample(scale_factor=2), conv)
    return source.to(memory_format=torch.contiguous_format)


def plain_genie(model, n, steps, seed):
    "GENIE's loop as one would first write it; returns its losses"
    model = trace(model); phase = RECIPES['genie'].phases[0]
    for p in model.parameters(): p.requires_grad_()
    for name, m in list(model.named_modules()):
        if isinstance(m, torch.nn.Conv2d) and max(m.stride) > 1: model.set_submodule(name, SwingConv2d(m))
    source = plain_generator(make_source('generator', model.shape, n, seed, 'batch', 0))
    weights = [p for k, p in source.named_parameters() if k != 'z']
    adams = [torch.optim.Adam([source.z], lr=phase.lr_embedding, fused=False), torch.optim.Adam(weights, lr=phase.lr_source, fused=False)]
    seen, losses = [], []
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d): m.register_forward_hook(lambda m, i, o: seen.append((m, i[0])))
    with seeded(seed, 'batch', 0, 'steps'):
        for _ in range(steps):
            seen.clear()
            x = source(source.z); model(x)
            loss = x.mean((0, 2, 3)).square().mean() + (x.std((0, 2, 3), correction=0) - 1).square().mean()
            for bn, t in seen:
                mean, std = t.mean((0, 2, 3)), (t.var((0, 2, 3), correction=0) + 1e-8).sqrt()
                loss = loss + (mean - bn.running_mean).square().mean() + (std - (bn.running_var + bn.eps).sqrt()).square().mean()
            for a in adams: a.zero_grad()
            model.zero_grad(); loss.backward()
            for a in adams: a.step()
            losses.append(loss.item())
    return losses


def our_losses(model, recipe, n, steps, seed):
    "Logged batch-norm losses of a recipe"
    rows = []
    synthesize(model, recipe, n=n, steps=steps, seed=seed, device='cpu', log=lambda **r: rows.append(r))
    return {r['step']: r['bn'] for r in rows}


class PlainQuantizer(ActivationQuantizer):
    "Learned step size, its straight-through estimator left to autograd, one random number an element for dropping"
    def forward(self, x):
        if not self.on: return x
        step = self.step(); u = x / step
        u = u + (u.round() - u).detach()
        y = torch.clamp(u, self.low - self.zero_point, self.high - self.zero_point) * step
        return torch.where(torch.rand_like(x) < .5, x, y) if self.dropping else y


def plain_adam(rounders, steppers, steps):
    "The optimizer of one unit and its schedule"
    groups = [dict(params=[r.v for r in rounders], lr=rounding_lr(steps)),
              dict(params=[r.delta for r in rounders], lr=1e-3), dict(params=[q.delta for q in steppers], lr=activation_lr(steps))]
    groups = [g for g in groups if g['params']]
    for g in groups:
        for p in g['params']: p.requires_grad_()
    opt = torch.optim.Adam(groups, fused=False); cosine = lambda i: .5 * (1 + math.cos(math.pi * i / steps))
    return opt, torch.optim.lr_scheduler.LambdaLR(opt, [cosine if steppers and g is groups[-1] else (lambda i: 1.) for g in groups])


def plain_unit(unit, xq, x, target, steps, batch, seed):
    "Learn one unit from its inputs, quantized and not, and its full-precision output; returns its error"
    module = unit.module
    with torch.no_grad():
        with fitting(module): module(xq)
        nearest = (module(xq) - target).square().mean()
    steppers = quantizers(module)
    for l in layers(module).values():
        l.parametrizations.weight[0] = AdaRound(l.parametrizations.weight.original, weight_of(l).grid())
    rounders = [weight_of(l) for l in layers(module).values()]; opt, schedule = plain_adam(rounders, steppers, steps)
    for q in steppers: q.dropping = True
    with seeded(seed, 'reconstruct', unit.end):
        for i in range(steps):
            idx = torch.randint(len(x), (batch,)); beta = beta_at(i / steps)
            mixed = torch.where(torch.rand_like(xq[idx]) < .5, x[idx], xq[idx])
            loss = (module(mixed) - target[idx]).square().mean() / nearest
            if beta: loss = loss + 4 * sum(rounding_penalty(r.h(), beta) for r in rounders) / sum(r.v.numel() for r in rounders)
            opt.zero_grad(); loss.backward(); opt.step(); schedule.step()
    for q in steppers: q.dropping = False
    for l in layers(module).values(): store(l, *weight_of(l).decided())
    for p in module.parameters(): p.requires_grad_(False)
    with torch.no_grad(): return (module(xq) - target).square().mean().item()


def plain_reconstruct(net, images, bits, steps, batch, seed):
    "Unit-wise reconstruction as one would first write it; returns the units' errors"
    model, original = prepare(trace(net), bits), units(fold(trace(net)))
    for q in quantizers(model): q.__class__ = PlainQuantizer
    pieces, errors = cut(model, model.ends), []
    def through(some, x):
        for u in some: x = u.module(x)
        return x
    for k, unit in enumerate(pieces):
        with torch.no_grad(): xq, x, target = through(pieces[:k], images), through(original[:k], images), through(original[:k + 1], images)
        errors.append(plain_unit(unit, xq, x, target, steps, batch, seed))
    return errors


def our_reconstruct(net, images, bits, steps, batch, seed):
    "The package's reconstruction; returns the units' errors"
    rows = []
    reconstruct(prepare(trace(net), bits), images, steps, batch, seed, log=lambda **r: rows.append(r))
    return [r['error'] for r in rows if r['stage'] == 'unit']


def timed(f, *args):
    start = time.perf_counter(); result = f(*args)
    return time.perf_counter() - start, result


def synthesis(name, n, steps):
    "Seconds of a step of a loop, set-up apart: from the times of `steps` and of a third of them; and the losses of `steps`"
    net = pretrained('resnet20-cifar10')
    job = (plain_genie, net, n) if name == 'plain' else (our_losses, net, BUDGETS['fast']['recipe'] if name == 'fast' else name, n)
    timed(*job, 2, 0)  # what is done once a process would count as time saved by the longer run
    short, (long, losses) = timed(*job, steps // 3, 0)[0], timed(*job, steps, 0)
    return dict(seconds=(long - short) / (steps - steps // 3), losses=losses)


def reconstruction(name, n, steps):
    "Seconds of a whole reconstruction, of `steps` a unit unless it is the fast budget's, and the sum of its units' errors"
    net = pretrained('resnet20-cifar10'); x = torch.randn(n, *net.card.shape, generator=torch.Generator().manual_seed(0))
    if name == 'fast': x, steps = mirrored(x), -(-steps * BUDGETS['fast']['unit_steps'] // BUDGETS['standard']['unit_steps'])
    seconds, errors = timed(plain_reconstruct if name == 'plain' else our_reconstruct, net, x, 'w4a4', steps, 32, 0)
    return dict(seconds=seconds, error=sum(errors))


LOOPS = {'synthesis': synthesis, 'reconstruction': reconstruction}


def by_turns(loop, names, turns, n, steps):
    "A loop in all its forms, each in a process of its own, one after the other; the shortest run of each, as what else the machine does only adds"
    found = {name: [] for name in names}
    for _ in range(turns):
        for name in names:
            command = [sys.executable, __file__, '--one', loop, name, '--size', str(n), str(steps)]
            found[name].append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]))
    return {name: min(rows, key=lambda r: r['seconds']) for name, rows in found.items()}


def setting():
    "What ratios depend on besides the code"
    return dict(processor=processor(), threads=torch.get_num_threads(), format=str(fast_dtype('cpu')).removeprefix('torch.'))


def regressions(new, old, allowed=.15):
    "Ratios of `new` that are worse than those of `old` by more than a share"
    worse = {k: (v / old[k] if k == 'sadag_over_genie' else old[k] / v) for k, v in new.items() if k in old}
    return [f'{k}: {new[k]:.2f}, stored {old[k]:.2f}' for k, w in worse.items() if w > 1 + allowed]


def check(figures, what, path):
    "End with an error if the file at `path` holds better ratios of the same setting; `what` names its keys"
    old = json.loads(Path(path).read_text()) if Path(path).is_file() else {}
    if any(old.get(k) != figures[k] for k in what): return
    if worse := regressions(figures['ratios'], old['ratios']): sys.exit(f'slower than stored in {path} by more than 15 %: ' + '; '.join(worse))


def measured(n, steps, unit_steps, turns):
    "What each form of each loop took and came to"
    return {'synthesis': by_turns('synthesis', ('plain', 'genie', 'sadag', 'fast'), turns, n, steps),
            'reconstruction': by_turns('reconstruction', ('plain', 'ours', 'fast'), min(turns, 2), n, unit_steps)}


def figures(found):
    "Ratios of the seconds, how far the loops agree, the seconds of whole runs, and how much memory each took at most"
    def each(key): return {f'{loop} {name}': row[key] for loop, rows in found.items() for name, row in rows.items()}
    t, made, learnt = each('seconds'), found['synthesis'], found['reconstruction']
    whole = {k: BUDGETS[b]['steps'] * t[f'synthesis {k}'] + t[f'reconstruction {k}'] for k, b in (('plain', 'standard'), ('fast', 'fast'))}
    ratios = {'synthesis_plain_over_ours': t['synthesis plain'] / t['synthesis genie'],
              'reconstruction_plain_over_ours': t['reconstruction plain'] / t['reconstruction ours'],
              'sadag_over_genie': t['synthesis sadag'] / t['synthesis genie'],
              'whole_plain_over_fast': whole['plain'] / whole['fast']}  # GENIE's plain loop at the standard steps
    plain, ours = made['plain']['losses'], [*made['genie']['losses'].values()]
    agreement = {'first_loss_plain': plain[0], 'first_loss_ours': ours[0], 'last_loss_plain': plain[-1], 'last_loss_ours': ours[-1],
                 'unit_error_ratio_ours_over_plain': learnt['ours']['error'] / learnt['plain']['error']}
    assert abs(agreement['first_loss_ours'] / agreement['first_loss_plain'] - 1) < .02, 'the two loops do not minimise the same loss'
    return dict(ratios=ratios, agreement=agreement, seconds=t, whole=whole, peak_mib=each('peak_mib'))


def main():
    parser = Parser(__doc__, 'bench', 'results')
    parser.add_argument('--one', nargs=2, help=argparse.SUPPRESS); parser.add_argument('--size', nargs=2, type=int, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.one: return print(json.dumps(dict(LOOPS[a.one[0]](a.one[1], *a.size), peak_mib=peak_mib())))
    n, steps, unit_steps, turns = (32, 6, 2, 1) if a.quick else (128, 24, 400, 5)
    found = figures(measured(n, steps, unit_steps, turns)); what = dict(setting(), images=n, steps=steps, unit_steps=unit_steps)
    told = {f'seconds, {k}' + (', a step' if 'synthesis' in k else ''): v for k, v in found['seconds'].items()}
    print(tabulate([*found['ratios'].items(), *found['agreement'].items(), *told.items()], floatfmt='.3f'))
    found = dict(found, **what, versions=versions())
    if not a.quick: check(found, what, a.out)
    write_text(a.out, json.dumps(found, indent=1)); print('written to', a.out)


if __name__ == '__main__': main()
