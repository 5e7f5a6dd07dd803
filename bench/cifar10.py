"""Accuracy on CIFAR-10 by recipe, bits and seed; results are written as they come, and a stopped run goes on.

python bench/cifar10.py --test cifar10-jpeg-test.tar.gz --train cifar10-jpeg-train.tar.gz --weights resnet20.safetensors
Prints the table; `real` are images drawn from --train, the control that only someone with data has."""
import argparse, json, time
from pathlib import Path
from sadag_nb.core import load_tensors, save_tensors, versions, write_text
from sadag_nb.models.datasets import calibration, loader, open_images, top1
from sadag_nb.models.zoo import pretrained
from sadag_nb.quant.reconstruct import quantize
from sadag_nb.synth.synthesize import synthesize
from torchvision.utils import save_image


def images_of(recipe, seed, a, net):
    "Calibration images, made once and kept; and the seconds it took to make them"
    file = Path(a.work) / f'{recipe}-{a.n}-{a.steps}-{seed}.safetensors'
    if not file.is_file():
        start = time.perf_counter()
        x = calibration(a.train, net.card, a.n, seed) if recipe == 'real' else synthesize(net, recipe, n=a.n, steps=a.steps, seed=seed)
        save_tensors(file, {'images': x}, seconds=f'{time.perf_counter() - start:.1f}')
    found, meta = load_tensors(file)
    return found['images'], float(meta['seconds'])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--test', required=True, help='labelled test images: folder or archive')
    parser.add_argument('--train', help='training images, for the recipe `real` alone')
    parser.add_argument('--weights', help='of a ResNet-20; default: the embedded ones')
    parser.add_argument('--recipes', nargs='+', default=['genie', 'sadag', 'sadag-worst', 'real'])
    parser.add_argument('--bits', nargs='+', default=['w2a2', 'w2a4', 'w3a3', 'w4a4'])
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--n', type=int, default=128, help='images')
    parser.add_argument('--steps', type=int, default=300, help='generator steps of a batch')
    parser.add_argument('--unit-steps', type=int, default=400, help='reconstruction steps of a unit')
    parser.add_argument('--work', default='runs/cifar10', help='where images are kept')
    parser.add_argument('--out', default='nbs/experiments/results/cifar10.json')
    a = parser.parse_args()
    net = pretrained('resnet20-cifar10', a.weights)
    data = loader(open_images(a.test, net.card), net.card)
    out = Path(a.out)
    rows = json.loads(out.read_text())['runs'] if out.is_file() else []
    settings = dict(network=net.card.name, n=a.n, steps=a.steps, unit_steps=a.unit_steps, batch=32)
    done = {(r['recipe'], r['bits'], r['seed']) for r in rows}
    fp = top1(net, data)
    for bits in a.bits:
        for seed in a.seeds:
            for recipe in a.recipes:
                if (recipe, bits, seed) in done: continue
                x, seconds = images_of(recipe, seed, a, net)
                start = time.perf_counter()
                q = quantize(net, x, bits, steps=a.unit_steps, seed=seed)
                rows.append(dict(recipe=recipe, bits=bits, seed=seed, synthesis_seconds=seconds,
                                 reconstruction_seconds=round(time.perf_counter() - start, 1), top1=top1(q, data)))
                print(rows[-1], flush=True)
                if recipe == 'sadag' and seed == 0: save_image(net.card.pixels(x[:32]), out.with_name(out.stem + '_images.png'), nrow=8, padding=1)
                write_text(out, json.dumps(dict(settings, fp_top1=fp, versions=versions(), runs=rows), indent=1))


if __name__ == '__main__': main()
