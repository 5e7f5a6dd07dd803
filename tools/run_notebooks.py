"Run notebooks in place, keep their outputs, skip what nbdev_test skips: python tools/run_notebooks.py [notebook ...]"
import os, subprocess, sys, time
from pathlib import Path
from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from nbdev.clean import clean_nb
from nbdev.config import get_config
from nbdev.process import extract_directives

def skipped(cell, flags) -> bool:
    "Whether nbdev_test leaves `cell` out"
    if cell.cell_type != 'code' or 'nbdev_export()' in cell.source: return True
    found = extract_directives(cell, remove=False)
    return found.get('eval:', [''])[0].lower() == 'false' or bool(flags & found.keys())

def run(nb, path:Path):
    "Run the cells of `nb`, the notebook at `path`, in its folder; raises what a cell raises"
    flags,top = set((get_config().tst_flags or '').split()),Path.cwd()
    os.chdir(path.parent)
    try: CaptureShell(path).run_all(nb, exc_stop=True, preproc=lambda cell: skipped(cell, flags))
    finally: os.chdir(top)

def executed(path:Path):
    "The notebook at `path` with the outputs of a run, clean; a semicolon at the end of a cell hides its value, as in Jupyter"
    nb = read_nb(path); run(nb, path); clean_nb(nb)
    for c in nb.cells:
        if c.cell_type=='code' and c.source.rstrip().endswith(';'): c.outputs = [o for o in c.outputs if o['output_type']!='execute_result']
    return nb

def main(paths):
    "Each notebook in a process of its own: what one leaves behind, in memory too, must not show in the next"
    cfg = get_config()
    every = [*sorted(cfg.nbs_path.rglob('[0-9]*.ipynb')), cfg.nbs_path/cfg.readme_nb]
    if len(paths)!=1: return max(abs(subprocess.run([sys.executable, __file__, str(p)]).returncode) for p in paths or every) # of one that was killed it is negative
    path,start = Path(paths[0]).resolve(),time.time()
    write_nb(executed(path), path)
    print(f'{path.relative_to(cfg.config_path)}: {time.time() - start:.1f} s', flush=True)

if __name__ == '__main__': sys.exit(main(sys.argv[1:]))
