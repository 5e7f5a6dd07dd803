"The wheel brings what it should, and importing it is quick and asks the network for nothing"
import re, time, zipfile
from pathlib import Path

OFFLINE = '''
import socket
def refuse(*args, **kwargs): raise AssertionError(f"network asked for: {args}")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
'''

def sources(root):
    return sorted(p.relative_to(root).as_posix() for p in (root/'sadag_nb').rglob('*') if p.is_file() and p.suffix!='.pyc')

def test_wheel_holds_every_file_of_the_package(wheel, root):
    with zipfile.ZipFile(wheel) as z: names = [n for n in z.namelist() if n.startswith('sadag_nb/')]
    assert sorted(names)==sources(root)

def test_weights_are_installed(installed, root):
    weights = sorted(p.name for p in (root/'sadag_nb/weights').glob('*.safetensors'))
    assert 'resnet20-digits.safetensors' in weights
    for w in weights: assert (installed.site/'sadag_nb/weights'/w).read_bytes()==(root/'sadag_nb/weights'/w).read_bytes()

def test_import_is_quick(installed):
    "Neither the package nor its command line brings torch along, which is what takes time"
    installed.run('python', '-c', 'import sadag_nb')  # the first import writes the byte code
    start = time.monotonic(); installed.run('python', '-c', 'import sadag_nb'); assert time.monotonic()-start < 3
    where,torch_too = installed.run('python', '-c', "import sys, sadag_nb.app.cli; sadag_nb.app.cli.parser(); print(sadag_nb.__file__, 'torch' in sys.modules)").split()
    assert torch_too=='False' and Path(where).is_relative_to(installed.site)  # the wheel's, not the repository's

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
