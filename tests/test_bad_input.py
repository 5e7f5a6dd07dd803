"What a user can get wrong: one sentence that names what to change, status 2, nothing written, and no long work before it"
import pickle
from pathlib import Path
import pytest, torch
from torch import nn
from safetensors.torch import save_file
from commands import sadag, told
from sadag_nb.app.cli import main
from sadag_nb.app.pipeline import open_network
from sadag_nb.core import ModelError
from sadag_nb.graph.trace import trace
from sadag_nb.models.zoo import pretrained, resnet20

OWN = '''
import torch
from torch import nn
def net(bn=True, bias=False, head=True, classes=3):
    return nn.Sequential(nn.Conv2d(1,4,3,bias=bias), nn.BatchNorm2d(4) if bn else nn.Identity(), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,classes) if head else nn.Identity()).eval()
def sound(): return net()
def no_batch_norm(): return net(bn=False)
def folded(): return net(bn=False, bias=True)
def no_linear(): return net(head=False)
def one_output(): return net(classes=1)
def training(): return net().train()
def not_a_number():
    m = net(); m[0].weight.data[0] = float('nan')
    return m
class Branching(nn.Module):
    def __init__(self): super().__init__(); self.net = net()
    def forward(self, x): return self.net(x) if x.sum()>0 else self.net(-x)
def untraceable(): return Branching().eval()
def number(): return 3
'''

class Code:
    "What pickle would run if it were let"
    def __reduce__(self): return Path.touch, (Path('pickle_was_run'),)

@pytest.fixture(scope='module')
def inputs(tmp_path_factory):
    "A folder of wrong things"
    d = tmp_path_factory.mktemp('inputs'); (d/'own.py').write_text(OWN); (d/'fails.py').write_text('import not_there')
    (d/'exits.py').write_text('import sys\ndef net(): sys.exit(f"{len(sys.argv)-1} options of mine")')
    good = {k:v.contiguous() for k,v in pretrained('resnet20-digits').state_dict().items()}
    save_file(good, d/'whole.safetensors'); (d/'cut.safetensors').write_bytes((d/'whole.safetensors').read_bytes()[:-50])
    save_file(nn.Linear(3,2).state_dict(), d/'linear.safetensors')
    save_file(resnet20(10,3).state_dict(), d/'colour.safetensors')
    save_file(dict(good, **{'conv1.weight':torch.full_like(good['conv1.weight'],float('nan'))}), d/'nan.safetensors')
    (d/'code.pt').write_bytes(pickle.dumps(Code())); torch.save({'net':Code()}, d/'code.pth')
    (d/'text.safetensors').write_text('hello')
    (d/'empty').mkdir(); (d/'file').touch(); (d/'notes').mkdir(); (d/'notes/todo.txt').touch()
    for c in ('cat','dog'): pictures(d/'animals'/c)
    pictures(d/'flat')
    (d/'bad'/'cat').mkdir(parents=True); (d/'bad'/'cat'/'0.png').write_text('no picture')
    (d/'cut.tar.gz').write_bytes(b'\x1f\x8b\x08 cut')
    save_file({'images':torch.zeros(2,1,16,16,dtype=torch.uint8)}, d/'bytes.safetensors')
    save_file({'images':torch.randn(4,3,5,5)}, d/'small.safetensors'); save_file({'images':torch.full((2,1,16,16),float('nan'))}, d/'holes.safetensors')
    return d

def pictures(folder):
    from PIL import Image
    folder.mkdir(parents=True)
    for i in range(2): Image.new('L', (16,16), 40*i).save(folder/f'{i}.png')

def own(name): return f'--model own.py:{name} --input 1x9x9'
DIGITS = '--model resnet20-digits'
BAD = {  # what: (command, what the sentence holds)
    'no batch norm':     (f'synthesize {own("no_batch_norm")}', 'so it stores no statistics'),
    'folded batch norm': (f'synthesize {own("folded")}', 'as it was before folding'),
    'untraceable':       (f'synthesize {own("untraceable")}', 'cannot trace'),
    'NaN weights':       (f'synthesize {own("not_a_number")}', 'NaN or infinite weights in 0.weight'),
    'no linear layer':   (f'synthesize {own("no_linear")}', 'nn.Linear'),
    'wrong input shape': ('synthesize --model own.py:sound --input 3x9x9', 'does not accept an input of shape (3, 9, 9)'),
    'no input shape':    ('synthesize --model own.py:sound', 'has no card'),
    'not a network':     (f'synthesize {own("number")}', 'returned int'),
    'no such factory':   (f'synthesize {own("missing")}', "defines no function 'missing'"),
    'no such file':      ('synthesize --model gone.py:net --input 1x9x9', 'no such file: gone.py'),
    'unknown model':     ('synthesize --model resnet20-digit', 'did you mean resnet20-digits?'),
    'unknown torchvision model': ('synthesize --model torchvision:resnet81 --weights random', 'did you mean torchvision:resnet18?'),
    'no weights':        ('synthesize --model torchvision:resnet18', 'comes without weights'),
    'unknown recipe':    (f'synthesize {DIGITS} --recipe sadga', "did you mean 'sadag'?"),
    'recipe of classes without classes': (f'synthesize {own("one_output")} --recipe gdfq', 'asks for images of given classes'),
    'too few bits':      (f'quantize {DIGITS} --bits w1a4', 'from 2 to 8, not 1'),
    'too many bits':     (f'quantize {DIGITS} --bits w4a9', 'from 2 to 8, not 9'),
    'bits unreadable':   (f'quantize {DIGITS} --bits four', 'written like w4a4'),
    'bits of a layer':   (f'quantize {DIGITS} --layer linear=w9a9', 'from 2 to 8, not 9'),
    'unknown layer':     (f'quantize {DIGITS} --layer liner=w8a8', "did you mean 'linear'?"),
    'n zero':            (f'synthesize {DIGITS} --n 0', 'n must be at least 1'),
    'n negative':        (f'quantize {DIGITS} --n -3', 'n must be at least 1'),
    'steps zero':        (f'synthesize {DIGITS} --steps 0', 'steps must be at least 1'),
    'unit steps negative': (f'quantize {DIGITS} --unit-steps -1', 'unit_steps must be at least 1'),
    'five views': (f'quantize {DIGITS} --views 5', 'views of an image are 1'),
    'no views': (f'quantize {DIGITS} --views 0', 'views of an image are 1'),
    'batch zero':        (f'synthesize {DIGITS} --batch 0', 'batch must be at least 1'),
    'demo n zero':       ('demo --n 0', 'n must be at least 1'),
    'weights missing':   (f'synthesize {DIGITS} --weights gone.safetensors', 'no such weights file'),
    'weights cut':       (f'synthesize {DIGITS} --weights cut.safetensors', 'not a whole safetensors file'),
    'weights are text':  (f'synthesize {DIGITS} --weights text.safetensors', 'not a whole safetensors file'),
    'weights of another network': (f'synthesize {DIGITS} --weights linear.safetensors', 'holds the weights of another network'),
    'weights of another shape':   (f'synthesize {DIGITS} --weights colour.safetensors', 'conv1.weight (16, 3, 3, 3) where (16, 1, 3, 3) is needed'),
    'weights NaN':       (f'synthesize {DIGITS} --weights nan.safetensors', 'NaN or infinite weights in conv1.weight'),
    'weights pickled':   (f'synthesize {DIGITS} --weights code.pt', 'could run code'),
    'weights with code': (f'synthesize {DIGITS} --weights code.pth', 'could run code'),
    'data missing':      (f'quantize {DIGITS} --data gone', 'no such folder or archive: gone'),
    'data empty':        (f'quantize {DIGITS} --data empty', 'holds no images'),
    'data of other classes': (f'quantize {DIGITS} --data animals', 'does not know (cat'),
    'data without labels':   (f'quantize {DIGITS} --data flat', 'has no labels'),
    'data no pictures':  (f'quantize {DIGITS} --data bad', '0.png in bad'),
    'data cut':          (f'quantize {DIGITS} --data cut.tar.gz', 'nor a whole .tar'),
    'images missing':    (f'quantize {DIGITS} --images gone', 'no such folder or archive: gone'),
    'images empty':      (f'quantize {DIGITS} --images empty', 'holds no images'),
    'images of NaN':     (f'quantize {DIGITS} --images holes.safetensors', 'NaN or infinite values'),
    'recipe of images that are given': (f'quantize {DIGITS} --images small.safetensors --recipe genie', '--recipe is of images that are made'),
    'steps of images that are given':  (f'quantize {DIGITS} --images small.safetensors --steps 5', '--steps is of images that are made'),
    'file of code fails':     ('synthesize --model fails.py:net --input 1x9x9', "fails.py failed (ModuleNotFoundError: No module named 'not_there')"),
    'file exits':            ('synthesize --model exits.py:net --input 1x9x9', 'exits.py failed (SystemExit: 0 options of mine)'),
    'images of integers':    (f'quantize {DIGITS} --images bytes.safetensors', 'in floating point, not torch.uint8'),
    'more images than there are': (f'quantize {DIGITS} --images digits-train --n 9999', 'fewer than the 9999 asked for: ask for at most 1201'),
    'a run for labelled data':    (f'quantize {DIGITS} --data small.safetensors', 'small.safetensors has no labels'),
    'nothing like it':       (f'synthesize {DIGITS} --recipe xyz', "no recipe is called 'xyz'. There are "),
    'images of another size': (f'quantize {DIGITS} --images small.safetensors', 'must be a tensor of shape (n, 1, 16, 16), not (4, 3, 5, 5)'),
    'images are weights':     (f'quantize {DIGITS} --images linear.safetensors', "no tensor named 'images'"),
    'finetune no run':   ('finetune gone', 'not a run folder'),
    'finetune steps zero':   ('finetune gone --steps 0', 'steps must be at least 1'),
    'finetune rho negative': ('finetune gone --saq 3 --rho -0.5', 'rho must be at least 0'),
    'finetune rho alone':    ('finetune gone --rho 0.5', 'give saq too'),
    'finetune every alone':  ('finetune gone --every 2', 'give saq too'),
    'finetune unknown case': ('finetune gone --saq 4', 'cases 1, 2, 3'),
    'finetune every zero':   ('finetune gone --saq 3 --every 0', 'every must be at least 1'),
    'unknown device':    (f'synthesize {DIGITS} --device abacus', '--device cpu'),
    'threads zero':      (f'synthesize {DIGITS} --threads 0', 'threads must be at least 1'),
}

def snapshot(folder): return {p:p.stat().st_mtime_ns for p in folder.rglob('*') if '__pycache__' not in p.parts}

@pytest.fixture(autouse=True)
def no_long_work(monkeypatch):
    "Mistakes are told before anything takes long: making a batch of images, rebuilding, training, measuring"
    import sadag_nb.app.pipeline as pipeline, sadag_nb.synth.synthesize as synthesis
    def long_work(*args, **kwargs): raise AssertionError('long work has begun')
    for name in ('quantize','foreseen','finetune','top1','top1s'): monkeypatch.setattr(pipeline, name, long_work)
    monkeypatch.setattr(synthesis, '_make_batch', long_work)

def refused(command, words, folder, capsys):
    "The command is refused with `words`, and leaves `folder` as it was"
    before = snapshot(folder); told(capsys, command.split(), words)
    assert snapshot(folder)==before

@pytest.mark.parametrize('command,words', BAD.values(), ids=BAD)
def test_mistake(command, words, inputs, capsys, monkeypatch):
    monkeypatch.chdir(inputs); refused(f'{command} --out new/run', words, inputs, capsys)

@pytest.mark.parametrize('out', ['file','file/run','notes'])
def test_run_folder_that_cannot_be_used(out, inputs, capsys, monkeypatch):
    monkeypatch.chdir(inputs); refused(f'synthesize {DIGITS} --out {out}', '--out', inputs, capsys)

@pytest.mark.parametrize('command', ['report empty', 'report gone', 'evaluate gone --data digits'])
def test_not_a_run(command, inputs, capsys, monkeypatch):
    monkeypatch.chdir(inputs); refused(command, 'not a run folder', inputs, capsys)

@pytest.mark.parametrize('command', ['quantise', 'synthesize', f'synthesize {DIGITS} --out new --n many',
                                     f'synthesize {DIGITS} --out new --input 8x8',
                                     f'quantize {DIGITS} --out new --layer linear'])
def test_options_that_do_not_parse(command, inputs, capsys, monkeypatch):
    monkeypatch.chdir(inputs); before = snapshot(inputs)
    with pytest.raises(SystemExit) as e: main(command.split())
    err = capsys.readouterr().err
    assert e.value.code==2 and err.startswith('error: ') and err.count('\n')==1 and snapshot(inputs)==before

def test_wrong_option_points_to_its_verb(inputs, capsys, monkeypatch):
    monkeypatch.chdir(inputs)
    with pytest.raises(SystemExit): main(f'quantize {DIGITS} --out new --bitz w4a4'.split())
    assert capsys.readouterr().err=='error: unrecognized arguments: --bitz w4a4; see sadag quantize --help\n'

def test_training_mode(inputs, monkeypatch):
    "`trace` refuses a network in training mode; one that a factory returns so is put in evaluation mode"
    monkeypatch.chdir(inputs)
    with pytest.raises(ModelError, match='eval'): trace(resnet20().train(), (3,32,32))
    assert not open_network('own.py:training', input=(1,9,9))[0].training

def test_in_a_process(inputs):
    "The same through the shell: nothing but one line on stderr"
    res = sadag(*f'quantize {DIGITS} --bits w9a9 --out new'.split(), cwd=inputs)
    assert res.returncode==2 and res.stdout=='' and res.stderr.startswith('error: ') and res.stderr.count('\n')==1
    assert not (inputs/'new').exists()
