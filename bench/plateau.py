"""How the loss of a batch of images falls: python bench/plateau.py [--quick] [--out FILE]

The batch-norm loss of `sadag`, which both of its phases have, on the embedded ResNet-20 at twice the default steps, at each reading;
three seeds. Where a rule would stop early is for the page that shows it to say."""
import json
from options import Parser
from sadag_nb.core import versions, write_text
from sadag_nb.models.zoo import pretrained
from sadag_nb.synth.synthesize import synthesize


def course(net, n, steps, seed):
    "(step, loss) of each reading"
    rows = []
    synthesize(net, 'sadag', n=n, steps=steps, seed=seed, device='cpu', log=lambda **r: rows.append((r['step'], r['bn'])))
    return rows


def main():
    a = Parser(__doc__, 'plateau').parse_args(); n, steps = (8, 41) if a.quick else (128, 600)
    net = pretrained('resnet20-cifar10'); found = dict(images=n, steps=steps, courses={}, versions=versions())
    for seed in (0, 1, 2):
        found['courses'][seed] = course(net, n, steps, seed); print(f"seed {seed}: {found['courses'][seed][0][1]:.3f} -> {found['courses'][seed][-1][1]:.3f}")
    write_text(a.out, json.dumps(found)); print('written to', a.out)


if __name__ == '__main__': main()
