"What a user can get wrong: one sentence that names what to change, status 2, nothing written, and no long work before it"
import pickle, subprocess, sys, time
from pathlib import Path
import pytest, torch
from torch import nn
from safetensors.torch import save_file
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
    d = tmp_path_factory.mktemp('inputs'); (d/'own.py').write_text(OWN)
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
    save_file({'images':torch.randn(4,3,5,5)}, d/'small.safetensors')
    return d

def pictures(folder):
    from PIL import Image
    folder.mkdir(parents=True)
    for i in range(2): Image.new('L', (16,16), 40*i).save(folder/f'{i}.png')

def own(name): return f'--model own.py:{name} --input 1x9x9'
DIGITS = '--model resnet20-digits'
BAD = {  # what: (command, words the sentence holds)
    'no batch norm':     (f'synthesize {own("no_batch_norm")}', 'batch norm'),
    'folded batch norm': (f'synthesize {own("folded")}', 'fold'),
    'untraceable':       (f'synthesize {own("untraceable")}', 'trace'),
    'NaN weights':       (f'synthesize {own("not_a_number")}', 'NaN'),
    'no linear layer':   (f'synthesize {own("no_linear")}', 'nn.Linear'),
    'wrong input shape': ('synthesize --model own.py:sound --input 3x9x9', 'shape'),
    'no input shape':    ('synthesize --model own.py:sound', 'CxHxW|shape'),
    'not a network':     (f'synthesize {own("number")}', 'nn.Module'),
    'no such factory':   (f'synthesize {own("missing")}', 'missing'),
    'no such file':      ('synthesize --model gone.py:net --input 1x9x9', 'gone.py'),
    'unknown model':     ('synthesize --model resnet20-digit', 'resnet20-digits'),
    'unknown torchvision model': ('synthesize --model torchvision:resnet81 --weights random', 'resnet18'),
    'no weights':        ('synthesize --model torchvision:resnet18', 'random'),
    'unknown recipe':    (f'synthesize {DIGITS} --recipe sadga', 'sadag'),
    'recipe of classes without classes': (f'synthesize {own("one_output")} --recipe gdfq', 'asks for images of given classes'),
    'too few bits':      (f'quantize {DIGITS} --bits w1a4', '2|bits'),
    'too many bits':     (f'quantize {DIGITS} --bits w4a9', '8|bits'),
    'bits unreadable':   (f'quantize {DIGITS} --bits four', 'w4a4'),
    'bits of a layer':   (f'quantize {DIGITS} --layer linear=w9a9', '8|bits'),
    'unknown layer':     (f'quantize {DIGITS} --layer liner=w8a8', 'linear'),
    'n zero':            (f'synthesize {DIGITS} --n 0', 'n must be at least 1'),
    'n negative':        (f'quantize {DIGITS} --n -3', 'n must be at least 1'),
    'steps zero':        (f'synthesize {DIGITS} --steps 0', 'steps must be at least 1'),
    'unit steps negative': (f'quantize {DIGITS} --unit-steps -1', 'unit_steps must be at least 1'),
    'five views': (f'quantize {DIGITS} --views 5', 'views of an image are 1'),
    'no views': (f'quantize {DIGITS} --views 0', 'views of an image are 1'),
    'batch zero':        (f'synthesize {DIGITS} --batch 0', 'batch must be at least 1'),
    'demo n zero':       ('demo --n 0', 'n must be at least 1'),
    'weights missing':   (f'synthesize {DIGITS} --weights gone.safetensors', 'gone.safetensors'),
    'weights cut':       (f'synthesize {DIGITS} --weights cut.safetensors', 'whole safetensors'),
    'weights are text':  (f'synthesize {DIGITS} --weights text.safetensors', 'safetensors'),
    'weights of another network': (f'synthesize {DIGITS} --weights linear.safetensors', 'another network|conv1'),
    'weights of another shape':   (f'synthesize {DIGITS} --weights colour.safetensors', 'conv1.weight'),
    'weights NaN':       (f'synthesize {DIGITS} --weights nan.safetensors', 'NaN|finite'),
    'weights pickled':   (f'synthesize {DIGITS} --weights code.pt', 'pickle|tensors'),
    'weights with code': (f'synthesize {DIGITS} --weights code.pth', 'pickle|tensors'),
    'data missing':      (f'quantize {DIGITS} --data gone', 'gone'),
    'data empty':        (f'quantize {DIGITS} --data empty', 'empty|no image'),
    'data of other classes': (f'quantize {DIGITS} --data animals', 'class'),
    'data without labels':   (f'quantize {DIGITS} --data flat', 'label|class'),
    'data no pictures':  (f'quantize {DIGITS} --data bad', 'bad'),
    'data cut':          (f'quantize {DIGITS} --data cut.tar.gz', 'cut.tar.gz'),
    'images missing':    (f'quantize {DIGITS} --images gone', 'gone'),
    'images empty':      (f'quantize {DIGITS} --images empty', 'empty|no image'),
    'images of another size': (f'quantize {DIGITS} --images small.safetensors', '3, 5, 5'),
    'images are weights':     (f'quantize {DIGITS} --images linear.safetensors', "'images'"),
    'finetune no run':   ('finetune gone', 'not a run folder'),
    'finetune steps zero':   ('finetune gone --steps 0', 'steps must be at least 1'),
    'finetune rho negative': ('finetune gone --rho -0.5', 'rho must be at least 0'),
    'finetune unknown case': ('finetune gone --saq 4', 'cases 1, 2, 3'),
    'finetune every zero':   ('finetune gone --saq 3 --every 0', 'every must be at least 1'),
    'unknown device':    (f'synthesize {DIGITS} --device abacus', '--device cpu'),
    'threads zero':      (f'synthesize {DIGITS} --threads 0', 'threads must be at least 1'),
}

def snapshot(folder): return {p:p.stat().st_mtime_ns for p in folder.rglob('*') if '__pycache__' not in p.parts}

def refused(command, words, folder, capsys):
    "The command ends with status 2 and one line that holds one of `words`, and leaves `folder` as it was"
    before,start = snapshot(folder),time.monotonic()
    assert main(command.split())==2
    out,err = capsys.readouterr()
    assert time.monotonic()-start < 3
    assert err.startswith('error: ') and err.count('\n')==1 and len(err)<400, err
    assert any(w in err for w in words.split('|')), err
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

def test_training_mode(inputs, monkeypatch):
    "`trace` refuses a network in training mode; one that a factory returns so is put in evaluation mode"
    monkeypatch.chdir(inputs)
    with pytest.raises(ModelError, match='eval'): trace(resnet20().train(), (3,32,32))
    assert not open_network('own.py:training', input=(1,9,9))[0].training

def test_in_a_process(inputs):
    "The same through the shell: nothing but one line on stderr"
    code = 'import sys; from sadag_nb.app.cli import main; sys.exit(main())'
    res = subprocess.run([sys.executable, '-c', code, *f'quantize {DIGITS} --bits w9a9 --out new'.split()], cwd=inputs,
                         capture_output=True, text=True)
    assert res.returncode==2 and res.stdout=='' and res.stderr.startswith('error: ') and res.stderr.count('\n')==1
    assert not (inputs/'new').exists()
