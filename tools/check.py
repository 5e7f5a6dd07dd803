"Is everything that is made from the notebooks in step with them? Changes nothing: python tools/check.py"
import ast, io, re, shutil, subprocess, sys, tempfile, tokenize
from collections import defaultdict
from pathlib import Path
import nbformat
from execnb.nbio import loads, nb2str
from nbdev.clean import _nbdev_clean
from nbdev.config import get_config
from readme import LINK, readme
from run_notebooks import executed

cfg = get_config(); root = cfg.config_path
notebooks = sorted(p for p in cfg.nbs_path.rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)

def name(path:Path) -> str: return path.relative_to(root).as_posix()
def cells(path:Path, kind:str): return [c for c in nbformat.read(path, 4).cells if c.cell_type==kind]

def modules():
    "Exported modules are what a fresh export gives: none edited by hand, none out of date, none whose notebook is gone"
    with tempfile.TemporaryDirectory() as tmp:
        copy,lib = Path(tmp)/'copy',cfg.lib_path.name
        shutil.copytree(cfg.nbs_path, copy/cfg.nbs_path.name, ignore=shutil.ignore_patterns('.*', 'results', 'images'))
        for f in ('settings.ini', f'{lib}/__init__.py'):
            (copy/f).parent.mkdir(exist_ok=True); shutil.copy(root/f, copy/f)
        export = 'from nbdev.doclinks import nbdev_export; nbdev_export()'
        subprocess.run([sys.executable, '-c', export], cwd=copy, check=True)
        fresh,kept = ({p.relative_to(d).as_posix():p.read_text() for p in d.rglob('*.py')} for d in (copy/lib, cfg.lib_path))
    for f in sorted(fresh.keys()|kept.keys()):
        if f not in fresh: yield f'{lib}/{f} comes from no notebook: delete it, or bring its notebook back'
        elif f not in kept: yield f'{lib}/{f} has not been exported: run nbdev_export'
        elif fresh[f]!=kept[f]: yield f'{lib}/{f} is not what its notebook exports: run nbdev_export'

def numbers():
    "Each module has one notebook, each two-digit number one place"
    places = defaultdict(list)
    for p in notebooks:
        if p.stem[0].isdigit(): places['number '+p.stem.split('_')[0]].append(name(p))
        for c in cells(p, 'code'):
            for m in re.findall(r'^#\s*\|\s*default_exp\s+(\S+)', c.source, re.M): places['module '+m].append(name(p))
    for what,where in places.items():
        if len(where)>1: yield f"{what} belongs to {' and '.join(where)}: change one of them"

def clean():
    "Notebooks are as nbdev_clean leaves them, and small"
    for p in notebooks:
        text = p.read_text(encoding='utf-8'); nb = loads(text); _nbdev_clean(nb)
        if nb2str(nb).strip()!=text.strip(): yield f'{name(p)} is not clean: run nbdev_clean'
        if p.stat().st_size > 2**20: yield f'{name(p)} is larger than 1 MB: store smaller outputs'

def displays(cell) -> bool:
    "Whether the last line of `cell` surely shows a value (calls may return None, so they do not count)"
    try: last = ast.parse(cell.source).body[-1:]
    except SyntaxError: return False
    shows = ast.Name, ast.Tuple, ast.List, ast.Dict, ast.BinOp, ast.Compare, ast.JoinedStr
    return bool(last) and isinstance(last[0], ast.Expr) and isinstance(last[0].value, shows)

def outputs():
    "Stored outputs are there and are no errors"
    skipped = re.compile(r'^#\s*\|\s*(eval:\s*false|' + '|'.join(cfg.tst_flags.split()) + r')\b', re.M)
    for p in notebooks:
        for c in cells(p, 'code'):
            line = ''.join(c.source.strip().splitlines()[-1:]); where = f'the cell that ends: {line}'
            if '/site-packages/' in str(c.outputs): yield f'{name(p)} stores a warning or traceback with its path, in {where}'
            if any(o.output_type=='error' for o in c.outputs): yield f'{name(p)} stores an error, in {where}'
            if displays(c) and not c.outputs and not line.endswith(';') and not skipped.search(c.source):
                yield f'{name(p)} has not been run, no output is stored for: {line}'

def current_readme():
    "README.md is what the index notebook gives, as stored and when run again"
    index = cfg.nbs_path/cfg.readme_nb; text = (root/'README.md').read_text(encoding='utf-8')
    stored,fresh = (readme(nbformat.reads(t, 4), cfg) for t in (index.read_text(encoding='utf-8'), nb2str(executed(index))))
    if not text==stored==fresh: yield f'README.md is not what {name(index)} gives: run make readme'

def links():
    "Links to files of this repository lead somewhere"
    for p in [root/'README.md', *notebooks]:
        texts = [p.read_text(encoding='utf-8')] if p.suffix=='.md' else [c.source for c in cells(p, 'markdown')]
        for _,to in LINK.findall(re.sub(r'```.*?```|`[^`\n]*`', '', '\n\n'.join(texts), flags=re.S)):
            path = re.sub(rf'^{re.escape(cfg.git_url)}/(blob|tree)/{cfg.branch}/', root.as_posix()+'/', to).split('#')[0]
            if path and not re.match(r'\w+:', path) and not (p.parent/path).exists():
                yield f'{name(p)} links to {to}: no such file (a page is linked by its notebook)'

# Parameters that mean the same everywhere; every other one is explained where it stands
SHARED = dict(
    seed='of all random numbers', device='where to work; None: an accelerator if there is one', dtype='of the arithmetic',
    x='a tensor of images or activations', images='(n, c, h, w), normalised', n='how many images', batch='images at a time',
    steps='of an optimizer or an iteration', draws='random vectors of an estimate', H='a symmetric operator with `H@v` and a length',
    bits='a number of bits, or bits in short form such as w4a4', recipe="a `Recipe` or a recipe's name", data='what `open_images` opens',
    classes='how many answers', channels='of the images', card='a `Card`', path='of a file or folder', name='of what is meant',
    log='called with a dict of values', progress='a `Progress`', run='a `Run`', rows='of metrics.jsonl', config='of a run', result='of a run',
    text='as the user wrote it', p='a parser of arguments', argv='a command line', node='of a graph', kwargs='handed on', args='handed on', options='of the command line')

def explained(a:ast.arg, comments:set, text:str, ours:set) -> bool:
    "Whether a comment on its line, the docstring, a type of this package or `SHARED` says what a parameter is"
    types = {getattr(n, 'id', getattr(n, 'attr', None)) for n in ast.walk(a.annotation)} if a.annotation else set()
    return bool(a.arg in SHARED or a.arg in ('self','cls') or a.lineno in comments or re.search(rf'`{a.arg}\b', text) or types & ours)

# torch, fx and argparse call these
CALLED = {'forward','backward','extra_repr','trace','error','run_node','map_nodes_to_values'}
HARMLESS = {'patch','delegates','dataclass'} # decorators that register nothing

def public(body:list, within:str=''): # yields (definition, docstring of its class or None)
    "Functions, classes and methods that a reader may call; constructors too"
    for n in body:
        if isinstance(n, ast.ClassDef) and n.name[0]!='_': yield n,None; yield from public(n.body, ast.get_docstring(n) or ' ')
        if isinstance(n, ast.FunctionDef) and (n.name[0]!='_' or n.name=='__init__'): yield n,within or None

def documented():
    "Public names have a docstring, but for one-line methods and what torch calls; their parameters are explained"
    trees = {p:ast.parse(p.read_text(encoding='utf-8')) for p in sorted(cfg.lib_path.rglob('[!_]*.py'))}
    ours = {n.name for t in trees.values() for n in t.body if isinstance(n, ast.ClassDef)} | {'Module','GraphModule','Node','Generator'}
    for p,tree in trees.items():
        comments = {t.start[0] for t in tokenize.generate_tokens(io.StringIO(p.read_text()).readline) if t.type==tokenize.COMMENT}
        for n,of_class in public(tree.body):
            doc = ast.get_docstring(n) or ''; where = f'{name(p)}:{n.lineno} {n.name}'
            told = of_class and (isinstance(n, ast.ClassDef) or len(n.body)==1 or n.name in {'__init__',*CALLED})
            if not doc and not told: yield f'{where} has no docstring'
            if isinstance(n, ast.ClassDef): continue
            for a in (*n.args.posonlyargs, *n.args.args, *n.args.kwonlyargs, *filter(None, (n.args.vararg, n.args.kwarg))):
                if not explained(a, comments, f'{doc} {of_class}', ours): yield f'{where}: say in a comment what {a.arg} is'

def words(source:str) -> set:
    "Names that are read in `source`, not those that it defines, exports or imports"
    nodes = list(ast.walk(ast.parse(source)))
    return ({n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
            | {n.attr for n in nodes if isinstance(n, ast.Attribute)})

def sources():
    "All code there is: modules, lessons, tests, tools, benchmarks"
    for folder in (cfg.lib_path, *(root/d for d in ('tests','tools','bench'))):
        for p in folder.rglob('*.py'):
            if p.name!='_modidx.py': yield p.read_text(encoding='utf-8')
    for p in notebooks:
        for c in cells(p, 'code'): yield re.sub(r'^\s*[%!].*$', 'pass', c.source, flags=re.M)

def used():
    "No function, class or method lies unused; what a decorator registers is used by it"
    read = set().union(*map(words, sources())) | CALLED
    for p in sorted(cfg.lib_path.rglob('[!_]*.py')):
        for n in ast.walk(ast.parse(p.read_text(encoding='utf-8'))):
            if not isinstance(n, (ast.FunctionDef,ast.ClassDef)) or n.name.strip('_')=='' or n.name.startswith('__'): continue
            registered = any(isinstance(d, ast.Call) and getattr(d.func, 'id', 'patch') not in HARMLESS for d in n.decorator_list)
            if n.name not in read and not registered: yield f'{name(p)}:{n.lineno} {n.name} is used nowhere: delete it'

if __name__=='__main__':
    faults = [f for check in (modules, numbers, clean, outputs, current_readme, links, documented, used) for f in check()]
    print('\n'.join(faults) or f'check: {len(notebooks)} notebooks, their modules and README.md are in step')
    sys.exit(bool(faults))
