"""How many small changes of a module do its notebook's assertions notice?  python tools/mutants.py [--sample 24] [notebook ...]

Each mutant is one change by cosmic-ray's operators, drawn with a fixed seed; `against_package` runs the notebook on it.
The table goes to tools/mutants.json, module by module, with the survivors: each is a missing assertion, or changes nothing.
All of quant/ and synth/ belong there; without names those are tried that have no row, or one of other code than there is now.
Fails if such a module is left, or if fewer than 80 % of all mutants are killed."""
import argparse, ast, hashlib, importlib, importlib.abc, importlib.util, json, os, random, signal, sys, tempfile, time
from functools import cache
from pathlib import Path
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from execnb.nbio import read_nb
from nbdev.config import get_config
from against_package import judging, module_of
from run_notebooks import run

cfg = get_config(); table = cfg.config_path/'tools/mutants.json'
# Of cosmic-ray's operators those whose mutants run: `%` in place of `+` dies of any test, or of none
BINARY = 'Add_Sub Sub_Add Mul_Div Div_Mul Pow_Mul FloorDiv_Mul Mod_Mul RShift_LShift LShift_RShift BitAnd_BitOr BitOr_BitAnd'
COMPARE = 'Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is'
OTHERS = '''AddNot ReplaceAndWithOr ReplaceOrWithAnd ReplaceTrueWithFalse ReplaceFalseWithTrue NumberReplacer ZeroIterationForLoop
    ReplaceUnaryOperator_USub_UAdd ReplaceUnaryOperator_Delete_Not ReplaceBreakWithContinue ReplaceContinueWithBreak ExceptionReplacer'''
OPERATORS = [f'ReplaceBinaryOperator_{o}' for o in BINARY.split()]+[f'ReplaceComparisonOperator_{o}' for o in COMPARE.split()]+OTHERS.split()

def annotations(source:str) -> list: # of ((line, column), (line, column))
    "Where types stand: changed, they only break the import"
    nodes = [getattr(n, a, None) for n in ast.walk(ast.parse(source)) for a in ('annotation','returns')]
    return [((n.lineno,n.col_offset), (n.end_lineno,n.end_col_offset)) for n in nodes if n]

def mutants(source:str) -> list: # of (operator, which occurrence, line)
    "Everything that can be changed, but for types"
    types,nodes,found = annotations(source),list(ast_nodes(get_ast(source))),[]
    for name in OPERATORS:
        op = get_operator(f'core/{name}')()
        at = [start for n in nodes for start,_ in op.mutation_positions(n)]
        found += [(name, i, p[0]) for i,p in enumerate(at) if not any(a<=p<b for a,b in types)]
    return found

class Mutated(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    "Imports the module called `name` from `source`"
    def __init__(self, name:str, source:str): self.name,self.source = name,source
    def find_spec(self, name, path=None, target=None): return importlib.util.spec_from_loader(name, self) if name==self.name else None
    def get_source(self, name): return self.source

def notices(nb, path:Path, module:str, source:str, limit:float) -> str: # 'killed', 'survived' or 'timeout'
    "What the notebook's run in a process of its own, for at most `limit` seconds, says of the module changed to `source`"
    pid = os.fork()
    if not pid: judged(nb, path, Mutated(module, source))
    end = time.monotonic()+limit
    while time.monotonic()<end:
        done,status = os.waitpid(pid, os.WNOHANG)
        if done: return 'killed' if status else 'survived'
        time.sleep(.02)
    os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)
    return 'timeout'

def judged(nb, path:Path, finder:Mutated):
    "In a fork: run, silently, and leave with 1 if anything fails"
    for out in (1,2): os.dup2(os.open(os.devnull, os.O_WRONLY), out)
    sys.meta_path.insert(0, finder)
    try: run(nb, path)
    except BaseException: os._exit(1)
    os._exit(0)

@cache
def preload():
    "Import once what the package imports, but not the package, so that each fork starts warm"
    importlib.import_module(f'{cfg.lib_path.name}.all')
    for m in [m for m in sys.modules if m.split('.')[0]==cfg.lib_path.name]: del sys.modules[m]

def source_of(module:str) -> str:
    "The text of the module"
    return (cfg.config_path/(module.replace('.', '/')+'.py')).read_text(encoding='utf-8')

def judged_code(path:Path) -> str: # a short hash
    "What decides the row of the notebook at `path`: its module and its cells"
    cells = [c.source for c in read_nb(path).cells if c.cell_type=='code']
    return hashlib.sha256('\0'.join([source_of(module_of(path)), *cells]).encode()).hexdigest()[:16]

def tried(path:Path, sample:int, seed:int) -> dict: # what the table says of the module
    "Draw mutants of the notebook's module and let the notebook judge them"
    preload()
    nb,module,of = judging(path),module_of(path),judged_code(path); source = source_of(module)
    every = mutants(source); drawn = sorted(random.Random(f'{seed} {module}').sample(every, min(sample, len(every))), key=lambda m: m[2])
    start = time.monotonic()
    if notices(nb, path, module, source, 600)!='survived': raise SystemExit(f'{path.name} fails on the module as it is')
    limit,rows = 5+4*(time.monotonic()-start),[]
    for name,i,line in drawn:
        changed = mutate_code(source, get_operator(f'core/{name}')(), i)
        rows.append((notices(nb, path, module, changed, limit), name, line, difference(source, changed)))
        print(f'{module}:{line} {name}: {rows[-1][0]}', flush=True)
    alive = [dict(operator=n, was=was, became=now) for what,n,_,(was,now) in rows if what=='survived']
    return dict(of=of, mutants=len(every), drawn=len(rows), killed=len(rows)-len(alive), survivors=alive)

def difference(old:str, new:str) -> tuple[str,str]: # the line before and after
    "The line that differs"
    return next((a.strip(),b.strip()) for a,b in zip(old.splitlines(), new.splitlines()) if a!=b)

def stored() -> dict: # row of each module
    "The table as it is"
    return json.loads(table.read_text(encoding='utf-8')) if table.is_file() else {}

def enter(module:str, row:dict):
    "Put a module's row into the table"
    rows = dict(sorted({**stored(), module:row}.items()))
    new = table.with_suffix('.new'); new.write_text(json.dumps(rows, indent=1)+'\n', encoding='utf-8'); new.replace(table)

def current(path:Path) -> dict|None: # its row
    "What the table says of the notebook's module, if that is of the code there is now"
    row = stored().get(module_of(path), {})
    return row if row.get('of')==judged_code(path) else None

def told(paths:list) -> bool: # whether all rows are current, and enough is killed
    "Print the table's figures, module by module"
    rows = {module_of(p):current(p) for p in paths}
    for m,r in rows.items(): print(f'{m:40} ' + (f"{r['killed']:3} of {r['drawn']:3} killed" if r else 'not current'))
    drawn,killed = (sum(r[k] for r in rows.values() if r) for k in ('drawn','killed'))
    print(f'{killed} of {drawn} killed: {killed/max(1,drawn):.0%}')
    return all(rows.values()) and killed>=.8*drawn

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('notebooks', nargs='*', help='by default those of quant/ and synth/ whose row is not current'); p.add_argument('--seed', type=int, default=0)
    p.add_argument('--sample', type=int, default=24, help='mutants of each module')
    args = p.parse_args()
    every = [p for d in ('quant','synth') for p in sorted((cfg.nbs_path/d).glob('*.ipynb'))]
    paths = [Path(n).resolve() for n in args.notebooks] or [p for p in every if not current(p)]
    with tempfile.TemporaryDirectory() as tmp:
        tempfile.tempdir = tmp # what the notebooks leave when they are stopped goes with it
        for path in paths: enter(module_of(path), tried(path, args.sample, args.seed))
    sys.exit(not told(every))

if __name__=='__main__': main()
