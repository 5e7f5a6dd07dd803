"What the benchmarks ask on their command lines"
import argparse
from pathlib import Path


class Parser(argparse.ArgumentParser):
    "Asks for --quick, and for --out, whose default depends on it"
    def __init__(self, text, name, stored=None, quick='a few steps only, to see that it runs'): # docstring; of the files; of the stored one
        super().__init__(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        self.places = {False: f'bench/{stored or name}.json', True: f'build/quick-{name}.json'}
        self.add_argument('--quick', action='store_true', help=quick)
        self.add_argument('--out', help='where the figures are written (default: {}; {} with --quick)'.format(*self.places.values()))

    def parse_args(self, *args, **kwargs):
        a = super().parse_args(*args, **kwargs); a.out = Path(a.out or self.places[a.quick])
        return a
