"Is everything that is made from the notebooks in step with them? Changes nothing: python tools/check.py"
import ast, json, re, shutil, subprocess, sys, tempfile
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

if __name__=='__main__':
    faults = [f for check in (modules, numbers, clean, outputs, current_readme, links) for f in check()]
    print('\n'.join(faults) or f'check: {len(notebooks)} notebooks, their modules and README.md are in step')
    sys.exit(bool(faults))
