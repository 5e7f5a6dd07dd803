"One notebook as a page of the site"
import ast, inspect, os, re
from dataclasses import is_dataclass
from functools import cache
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from textwrap import dedent, indent
import nbformat
from fastcore.docments import MarkdownRenderer
from nbconvert import MarkdownExporter
from nbdev.config import get_config
from nbdev.showdoc import showdoc_nm
from nbformat.v4 import new_markdown_cell, new_output
from readme import LINK, shown

cfg = get_config(); root = cfg.config_path
WIDGET,NOTE = 'application/vnd.jupyter.widget-view+json','*Interactive: run the notebook to use it.*'
CODE_OR_LINK = re.compile(r'(`{3,})[\s\S]*?\1|`([^`\n]+)`|' + LINK.pattern)
EXPORT = {'export','exports','exporti'}

def repository(path:Path) -> str: # address of a file or folder of this repository
    return f"{cfg.git_url}/{'tree' if path.is_dir() else 'blob'}/{cfg.branch}/{path.relative_to(root).as_posix()}"

def address(notebook:Path) -> str: # of its page in the site, without ending, as nbdev links to it
    rel = notebook.relative_to(cfg.nbs_path)
    return rel.with_name(re.sub(r'^\d+[a-z0-9]*_', '', rel.stem.lower())).as_posix()

def fence(text:str, kind:str) -> str:
    "`text` as a fenced block, whose fence is longer than any in it"
    ticks = '`'*max(4, *(1+len(t) for t in re.findall('`+', text)), 0)
    return f'{ticks}{kind}\n{text}\n{ticks}'

# Signatures

def fields(o:type) -> str:
    "The first line of a class and its annotated fields, as written"
    source = dedent(inspect.getsource(o)); tree = ast.parse(source).body[0]; lines = source.splitlines()
    own = [l for n in tree.body if isinstance(n, ast.AnnAssign) for l in lines[n.lineno-1:n.end_lineno]]
    return '\n'.join([lines[tree.lineno-1], *own])

def signature(o, # function, method or class
              module) -> str: # Markdown
    "Parameters with their comments"
    given = getattr(o, '__delwrap__', None)
    # `delegates` keeps a dataclass's constructor, which nobody wrote: the comments are in the class
    if getattr(given, '__name__', '')=='__init__': o.__delwrap__ = getattr(module, given.__qualname__.split('.')[0])
    if inspect.isclass(o) and not is_dataclass(o) and '__init__' not in vars(o): return fields(o)
    text = re.sub(rf'\b{cfg.lib_path.name}\.(\w+\.)*', '', str(MarkdownRenderer(o).dm)) # names without their modules
    return re.sub('^def', 'class', text).replace('->None:', ':') if inspect.isclass(o) else text

@cache
def definitions(source:str) -> dict: # line by name; a method added by `patch` is Class.method
    kinds = ast.FunctionDef,ast.AsyncFunctionDef,ast.ClassDef
    return {showdoc_nm(n):n.lineno for n in ast.parse(source).body if isinstance(n, kinds)}

def documented(name:str, module, anchor:str) -> str: # Markdown
    "Heading, signature, docstring and a link to the source"
    o = attrgetter(name)(module); o = getattr(o, 'fget', o)
    file = Path(module.__file__); line = definitions(file.read_text(encoding='utf-8'))[name]
    link = f"[source]({repository(file)}#L{line}){{.source title='{name} in the repository'}}"
    signed = fence(signature(o, module), 'python')
    return f"### {name} {{#{anchor} .api}}\n\n{signed}\n\n{inspect.getdoc(o) or ''} {link}"

# Cells

def directives(cell) -> set:
    if cell.cell_type!='code': return set()
    return {d.split()[0] for d in re.findall(r'^#\s*\|\s*(.+)$', cell.source, re.M)}

def public(names) -> list: return [n for n in names if not n.split('.')[-1].startswith('_')]

def anchors(names:list) -> dict: # by name
    "In lower case, unless that is taken: `Unit` and `unit` may be on one page"
    taken = {}
    for n in sorted(set(names), reverse=True): taken[n] = next(a for a in (n.lower(),n) if a not in taken.values())
    return taken

def terminal(text:str) -> str:
    "`text` as a terminal leaves it: no colours, no overwritten lines, no progress bars"
    text = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', text)
    text = re.sub(r'[^\n]*\r(?!\n)', '', text)
    return '\n'.join(l for l in text.splitlines() if not re.search(r'\d+%\|', l)).rstrip()

def visible(o) -> dict: # an output, or None if nothing is left of it
    "Text as an output block, a widget as a note"
    if o.output_type=='stream': text = o.text
    elif WIDGET in o.data: return new_output('display_data', {'text/markdown': NOTE})
    elif set(o.data)=={'text/plain'}: text = o.data['text/plain']
    else: return o
    text = terminal(text)
    return text and new_output('display_data', {'text/markdown': fence(text, '{.text .output}')})

class Page:
    "What becomes of the notebook at `path`"
    def __init__(self, path:Path):
        self.path,self.address,self.pictures = path,address(path),{}
        self.nb = nbformat.read(path, 4); self.title = self.nb.cells[0].source.splitlines()[0].lstrip('# ')
        code = '\n'.join(c.source for c in self.nb.cells if c.cell_type=='code')
        exports = re.search(r'^#\s*\|\s*default_exp\s+(\S+)', code, re.M)
        self.module = exports and import_module(f'{cfg.lib_path.name}.{exports[1]}')
        exported = [c.source for c in self.nb.cells if directives(c) & EXPORT]
        self.anchors = anchors([n for source in exported for n in public(definitions(source))])

    def exported(self, cell):
        "Signatures of what an exported cell defines and its source, folded; constants open; imports not at all"
        defined = definitions(cell.source); source = shown(cell).source.strip()
        if all(isinstance(n, (ast.Import,ast.ImportFrom)) for n in ast.parse(source).body): return None
        if not defined: return new_markdown_cell(fence(source, 'python'))
        api = [documented(n, self.module, self.anchors[n]) for n in public(defined)]
        what = 'Source' if api else 'Source of ' + ', '.join(defined)
        folded = f'??? source "{what}"\n\n' + indent(fence(source, 'python'), ' '*4)
        return new_markdown_cell('\n\n'.join([*api, folded]))

    def cell(self, cell):
        "The cell as readers see it, None if they do not"
        if cell.cell_type!='code': return cell
        if directives(cell) & {'hide','default_exp'}: return None
        if directives(cell) & EXPORT: return self.exported(cell)
        cell = shown(cell); cell.outputs = [v for o in cell.outputs if (v := visible(o))]
        return cell

    def relative(self, to:str) -> str: # address as seen from this page
        return os.path.relpath(to, Path(self.address).parent)

    def symbol(self, name:str, book:list) -> str: # Markdown
        "A name in backticks links to its definition: that of this page, or the only one"
        homes = [p for p in book if name in p.anchors]
        if self in homes: homes = [self]
        if len(homes)!=1: return f'`{name}`'
        return f'[`{name}`]({self.relative(homes[0].address)}.md#{homes[0].anchors[name]})'

    def link(self, m:re.Match, # of CODE_OR_LINK
             book:list) -> str:
        "Notebooks are pages here, other files are in the repository"
        fenced,name,text,to = m.groups()
        if name: return self.symbol(name, book)
        if fenced or re.match(r'\w+:|#', to) or to in self.pictures: return m[0]
        to,_,anchor = to.partition('#'); file = Path(os.path.normpath(self.path.parent/to))
        if not file.exists(): raise SystemExit(f'{self.path.relative_to(root)} links to {to}: no such file')
        if text[0]=='!': return self.picture(text, to, file)
        if file.suffix!='.ipynb': return f'{text}({repository(file)})'
        return f"{text}({self.relative(address(file))}.md{'#'*bool(anchor)}{anchor})"

    def picture(self, text:str, to:str, file:Path) -> str:
        "A file beside the page; a drawing becomes part of it, so that its links work and lead to pages"
        if file.suffix!='.svg': self.pictures[to] = file.read_bytes(); return f'{text}({to})'
        page = lambda m: f'href="{self.relative(address(Path(os.path.normpath(file.parent/m[1]))))}.html"'
        svg = re.sub(r'href="([^":]+\.ipynb)"', page, file.read_text(encoding='utf-8'))
        return '<figure class="drawing">' + re.sub(r'\n\s*', '\n', svg).strip() + '</figure>'

    def origin(self): # cell with links to the notebook and what it exports
        files = [('Notebook', self.path)] + ([('Module', Path(self.module.__file__))] if self.module else [])
        links = [f'{what} [`{p.relative_to(root).as_posix()}`]({repository(p)})' for what,p in files]
        return new_markdown_cell(' · '.join(links) + '\n{.origin data-search-exclude=""}')

    def markdown(self, book:list) -> str: # of all pages
        "The page's text; its pictures by address relative to it are then in `pictures`"
        head,*cells = self.nb.cells; stem = Path(self.address).name
        self.nb.cells = [head, self.origin(), *filter(None, map(self.cell, cells))]
        self.nb.metadata['language_info'] = {'name':'python'}
        text,found = MarkdownExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(
            self.nb, resources=dict(unique_key=f'{stem}_files/{stem}', output_files_dir=''))
        self.pictures |= found['outputs']
        return CODE_OR_LINK.sub(lambda m: self.link(m, book), text.replace('![png]', '![Figure]')).strip() + '\n'
