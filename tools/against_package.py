"""Run the cells of notebooks against the package instead of what they define: python tools/against_package.py [notebook ...]

An exported cell becomes an import of its names from the module, so that the assertions judge the package's own lines:
`make coverage` counts these, `make mutants` changes them."""
import re, subprocess, sys
from pathlib import Path
from symtable import symtable
from execnb.nbio import read_nb
from nbdev.config import get_config
from run_notebooks import run

cfg = get_config()
EXPORTED = re.compile(r'^#\s*\|\s*export(s|i)?\b', re.M)

def module_of(path:Path) -> str|None: # dotted name
    "The module that the notebook at `path` exports to"
    found = re.search(r'#\s*\|\s*default_exp\s+([\w.]+)', ''.join(c.source for c in read_nb(path).cells if c.cell_type=='code'))
    return f'{cfg.lib_path.name}.{found[1]}' if found else None

def bound(source:str) -> list[str]: # names
    "What a cell binds at its top level"
    return [s.get_name() for s in symtable(source, 'cell', 'exec').get_symbols() if s.is_assigned() or s.is_imported()]

def imported(source:str, module:str) -> str: # source
    "An exported cell as an import of what it binds; a name gone from the module, such as that of a loop, is left out"
    return f"import {module} as _m; globals().update({{k:getattr(_m,k) for k in {bound(source)!r} if hasattr(_m,k)}})"

def judging(path:Path):
    "The notebook at `path` with its exported cells as imports"
    nb,module = read_nb(path),module_of(path)
    for c in nb.cells:
        if c.cell_type=='code' and EXPORTED.search(c.source): c.source = imported(c.source, module)
    return nb

def main(paths:list):
    "Each notebook in a process of its own: what one leaves behind must not help the next"
    if len(paths)==1: run(judging(path:=Path(paths[0]).resolve()), path); return 0
    every = sorted(p for p in cfg.nbs_path.rglob('[0-9]*.ipynb') if module_of(p))
    return max(abs(subprocess.run([sys.executable, __file__, str(p)]).returncode) for p in paths or every) # of one that was killed it is negative

if __name__=='__main__': sys.exit(main(sys.argv[1:]))
