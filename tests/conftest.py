"What the tests share: the repository's folder, the package installed from its wheel outside the repository, and torch's threads"
import os
os.environ['CUDA_VISIBLE_DEVICES'] = '' # what is compared bit by bit is computed on the CPU
import shutil, subprocess, sys, sysconfig, venv
from pathlib import Path
import pytest, torch
from browsing import address, browser, chromium, site # fixtures

ROOT = Path(__file__).resolve().parent.parent
NOT_SOURCE = shutil.ignore_patterns('.*', 'runs', 'build', '_docs', '*.egg-info', '__pycache__', 'nbs')

def call(*args, **kwargs):
    "Run a command; if it fails, the test fails with its output"
    res = subprocess.run([str(a) for a in args], capture_output=True, text=True, **kwargs)
    assert res.returncode==0, f'{args} failed\n{res.stdout}\n{res.stderr}'
    return res.stdout

def kept_threads():
    "torch has as many threads afterwards as before"
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)

@pytest.fixture(autouse=True, scope='module')
def threads_of_a_module(): yield from kept_threads() # whose fixtures may change them

@pytest.fixture(autouse=True)
def threads_of_a_test(): yield from kept_threads()

@pytest.fixture(scope='session')
def root() -> Path: return ROOT

@pytest.fixture(scope='session')
def wheel(tmp_path_factory) -> Path:
    "The package's wheel, built from a copy so that the repository stays as it is"
    out = tmp_path_factory.mktemp('wheel')
    shutil.copytree(ROOT, out/'source', ignore=NOT_SOURCE)
    call(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', out, out/'source')
    return next(out.glob('*.whl'))

class Installed:
    "A fresh virtual environment; it sees this one's packages, but not its editable install of the repository"
    def __init__(self, folder:Path):
        venv.create(folder, with_pip=False)
        self.folder,self.bin = folder,folder/('Scripts' if os.name=='nt' else 'bin')
        self.site = Path(sysconfig.get_path('purelib', 'venv', vars=dict(base=str(folder), platbase=str(folder))))
        (self.site/'packages.pth').write_text(sysconfig.get_path('purelib')+'\n')
    def add(self, wheel:Path):
        pip = (sys.executable, '-m', 'pip', '--python', self.bin/'python')
        call(*pip, 'install', '-q', '--no-deps', '--ignore-installed', wheel)
    def run(self, *args):
        "Standard output of a command of this environment, run in its folder"
        return call(self.bin/args[0], *args[1:], cwd=self.folder, env={k:v for k,v in os.environ.items() if k!='PYTHONPATH'})

@pytest.fixture(scope='session')
def installed(wheel, tmp_path_factory) -> Installed:
    "The wheel, installed in a fresh virtual environment outside the repository"
    env = Installed(tmp_path_factory.mktemp('installed')/'env'); env.add(wheel)
    return env
