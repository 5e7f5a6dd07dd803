"Write README.md from nbs/index.ipynb: python tools/readme.py"
import os, re
from pathlib import Path
import nbformat
from nbconvert import MarkdownExporter
from nbdev.config import get_config

LINK = re.compile(r'(!?\[[^\]]*\])\(([^)\s]+)\)')

def shown(cell):
    "`cell` as a reader sees it: without hidden cells, directives and sources under `echo: false`; None if nothing is left"
    if cell.cell_type!='code': return cell
    directives = re.findall(r'^#\s*\|\s*(.+?)\s*$', cell.source, re.M)
    if 'hide' in directives: return None
    cell.source = re.sub(r'^#\s*\|.*\n?', '', cell.source, flags=re.M)
    cell.metadata['transient'] = {'remove_source': 'echo: false' in directives}
    return cell

def absolute(link:re.Match, # of LINK, relative to the notebooks' folder
             cfg) -> str:
    "A link to a file as a link to the repository; a picture as a path, for it must show in a clone too"
    text,to = link.groups()
    if re.match(r'https?:|mailto:|#', to): return link[0]
    path = Path(os.path.normpath(cfg.nbs_path/to.split('#')[0])).relative_to(cfg.config_path).as_posix()
    kind = 'tree' if (cfg.config_path/path).is_dir() else 'blob'
    return f'{text}({path})' if text[0]=='!' else f'{text}({cfg.git_url}/{kind}/{cfg.branch}/{path})'

def readme(nb, cfg) -> str:
    "README.md's text for the index notebook `nb`"
    nb.cells = [c for c in map(shown, nb.cells) if c]
    text,_ = MarkdownExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(nb)
    text = LINK.sub(lambda m: absolute(m, cfg), text)
    text = re.sub(r'\n{3,}', '\n\n', text).strip()
    return f'<!-- Made from {cfg.nbs_path.name}/{cfg.readme_nb}: edit that -->\n\n{text}\n'

if __name__=='__main__':
    cfg = get_config()
    (cfg.config_path/'README.md').write_text(readme(nbformat.read(cfg.nbs_path/cfg.readme_nb, 4), cfg), encoding='utf-8')
