"The wheel brings what it should, and importing it is quick and asks the network for nothing"
import re, subprocess, sys, time, zipfile
from pathlib import Path
import pytest

OFFLINE = '''
import socket
def refuse(*args, **kwargs): raise AssertionError(f"network asked for: {args}")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
'''

def sources(root): return sorted(p.relative_to(root).as_posix() for p in (root/'sadag_nb').rglob('*') if p.is_file() and p.suffix!='.pyc')

def test_wheel_holds_every_file_of_the_package(wheel, root):
    with zipfile.ZipFile(wheel) as z: names = [n for n in z.namelist() if n.startswith('sadag_nb/')]
    assert sorted(names)==sources(root)

def test_weights_are_installed(installed, root):
    weights = sorted(p.name for p in (root/'sadag_nb/weights').glob('*.safetensors'))
    assert 'resnet20-digits.safetensors' in weights
    for w in weights: assert (installed.site/'sadag_nb/weights'/w).read_bytes()==(root/'sadag_nb/weights'/w).read_bytes()

def test_import_is_quick(installed):
    installed.run('python', '-c', 'import sadag_nb')  # the first import writes the byte code
    start = time.monotonic(); where = installed.run('python', '-c', 'import sadag_nb; print(sadag_nb.__file__)')
    assert time.monotonic()-start < 3
    assert Path(where.strip()).is_relative_to(installed.site)  # the wheel's, not the repository's

def test_every_module_imports_without_network(installed):
    found = installed.run('python', '-c', OFFLINE + '''
import importlib, pkgutil, sadag_nb
names = [m.name for m in pkgutil.walk_packages(sadag_nb.__path__, 'sadag_nb.')]
for n in names: importlib.import_module(n)
print(*names)''').split()
    assert {'sadag_nb.core', 'sadag_nb.all', 'sadag_nb.app.cli'} <= set(found)

def test_console_script(installed, root):
    version = re.search(r'^version = (.+)$', (root/'settings.ini').read_text(), re.M)[1]
    assert version in installed.run('sadag', 'version')

def test_embedded_network_loads_without_network(installed):
    installed.run('python', '-c', OFFLINE + '''
import torch
from sadag_nb.all import pretrained
model = pretrained('resnet20-digits'); print(model(torch.zeros(2, *model.card.shape)).shape)''')

def copy_of_notebooks(root, folder):
    "The files that tools/check.py reads, in `folder`"
    import shutil
    for d in ('nbs','sadag_nb','tools'): shutil.copytree(root/d, folder/d, ignore=shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints'))
    for f in ('settings.ini','README.md','LICENSE'): shutil.copy(root/f, folder/f)
    return folder

def check(folder): return subprocess.run([sys.executable, 'tools/check.py'], cwd=folder, capture_output=True, text=True)

def edited(path, old, new): path.write_text(path.read_text().replace(old, new, 1)); assert new in path.read_text()

@pytest.mark.parametrize('harm,complaint', [
    (lambda d: edited(d/'sadag_nb/core.py', 'class SadagError', 'class  SadagError'), 'core.py is not what its notebook exports'),
    (lambda d: (d/'nbs/00_core.ipynb').unlink(), 'core.py comes from no notebook'),
    (lambda d: (d/'sadag_nb/core.py').unlink(), 'core.py has not been exported'),
    (lambda d: edited(d/'nbs/00_core.ipynb', '"execution_count": null', '"execution_count": 3'), '00_core.ipynb is not clean'),
    (lambda d: (d/'nbs/01_more.ipynb').write_bytes((d/'nbs/00_core.ipynb').read_bytes()), 'module core belongs to'),
    (lambda d: edited(d/'README.md', '# sadag_nb', '# something'), 'README.md is not what'),
    (lambda d: edited(d/'nbs/index.ipynb', 'images/result.png', 'images/gone.png'), 'no such file'),
], ids='edited gone missing unclean twice readme link'.split())
def test_check_tells_what_is_out_of_step(root, tmp_path, harm, complaint):
    folder = copy_of_notebooks(root, tmp_path); harm(folder)
    res = check(folder)
    assert res.returncode!=0 and complaint in res.stdout, res.stdout+res.stderr
