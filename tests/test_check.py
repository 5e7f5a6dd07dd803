"`make check` notices each way in which notebooks, modules and README fall out of step"
import os, shutil, subprocess, sys
import nbformat, pytest

def copy_of_notebooks(root, folder):
    "The files that tools/check.py reads, in `folder`"
    skip = shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints')
    for d in ('nbs','sadag_nb','tools','bench','tests'): shutil.copytree(root/d, folder/d, ignore=skip)
    for f in ('settings.ini','README.md','LICENSE'): shutil.copy(root/f, folder/f)
    return folder

def said(folder, *functions) -> str:
    "What some of the checks complain of, a line each"
    code = f'import check; print(*(c for name in {functions!r} for c in getattr(check, name)()), sep="\\n")'
    res = subprocess.run([sys.executable, '-c', code], cwd=folder, env=dict(os.environ, PYTHONPATH='tools'), capture_output=True, text=True)
    assert res.returncode==0, res.stderr
    return res.stdout

def edited(path, old, new):
    text = path.read_text(); assert old in text
    path.write_text(text.replace(old, new, 1))

def test_check_tells_and_fails(root, tmp_path):
    edited(copy_of_notebooks(root, tmp_path)/'README.md', '# sadag_nb', '# something')
    res = subprocess.run([sys.executable, 'tools/check.py'], cwd=tmp_path, capture_output=True, text=True)
    assert res.returncode==1 and 'README.md is not what' in res.stdout, res.stdout+res.stderr

def modules(d):
    edited(d/'sadag_nb/core.py', 'class SadagError', 'class  SadagError')
    (d/'nbs/03_ranks.ipynb').unlink(); (d/'sadag_nb/models/zoo.py').unlink()

def clean(d):
    edited(d/'nbs/00_core.ipynb', '"execution_count": null', '"execution_count": 3')
    edited(d/'nbs/03_ranks.ipynb', '\n', '\n'*2**20)

def used(d):
    core = d/'sadag_nb/core.py'; edited(core, '    "Versions of everything that decides a result"\n', '')
    edited(core, '# name=value pairs', ''); edited(core, 'def peak_mib(', 'def peak_mib_of_all(')

@pytest.mark.parametrize('functions,harm,complaints', [
    (['modules'], modules, ['core.py is not what its notebook exports', 'ranks.py comes from no notebook', 'zoo.py has not been exported']),
    (['numbers'], lambda d: shutil.copy(d/'nbs/00_core.ipynb', d/'nbs/00_more.ipynb'),
     [f'{what} belongs to nbs/00_core.ipynb and nbs/00_more.ipynb' for what in ('number 00','module core')]),
    (['clean'], clean, ['00_core.ipynb is not clean', '03_ranks.ipynb is larger than 1 MB']),
    (['links'], lambda d: edited(d/'nbs/index.ipynb', 'images/result.png', 'images/gone.png'), ['links to images/gone.png: no such file']),
    (['documented','used'], used, ['versions has no docstring', 'at_least: say in a comment what settings is', 'peak_mib_of_all is used nowhere']),
], ids='modules numbers clean links words'.split())
def test_what_is_out_of_step_is_told(root, tmp_path, functions, harm, complaints):
    harm(copy_of_notebooks(root, tmp_path)); text = said(tmp_path, *functions)
    for c in complaints: assert c in text, text

def test_outputs(root, tmp_path):
    "An error, a warning with its path and a value that is missing are told, and nothing else"
    copy_of_notebooks(root, tmp_path); n = nbformat.v4; warning = '/lib/site-packages/old.py:1: DeprecationWarning'
    cells = [n.new_code_cell('1/0', outputs=[n.new_output('error', ename='ZeroDivisionError', evalue='', traceback=[])]),
             n.new_code_cell('import old', outputs=[n.new_output('stream', name='stderr', text=warning)]),
             *map(n.new_code_cell, ('x = 1\nx+1', 'x = 2', 'x+2;', '#| eval: false\nx+3', '#| slow\nx+4'))]
    nbformat.write(n.new_notebook(cells=cells), tmp_path/'nbs/99_odd.ipynb')
    assert [c.partition('99_odd.ipynb ')[2] for c in said(tmp_path, 'outputs').splitlines() if '99_odd' in c]==[
        'stores an error, in the cell that ends: 1/0',
        'stores a warning or traceback with its path, in the cell that ends: import old', 'has not been run, no output is stored for: x+1']

def test_notebooks_judge_the_package(root, tmp_path):
    "Their assertions see a change of the module, not what their own cells define"
    folder = copy_of_notebooks(root, tmp_path)
    def judged(): return subprocess.run([sys.executable, 'tools/against_package.py', 'nbs/quant/20_uniform.ipynb'], cwd=folder,
                                        env=dict(os.environ, PYTHONPATH=str(folder)), capture_output=True, text=True)
    assert judged().returncode==0
    edited(folder/'sadag_nb/quant/uniform.py', '(w/self.scale).round_()', '(w/self.scale).floor_()')
    res = judged(); assert res.returncode!=0 and 'AssertionError' in res.stdout+res.stderr
