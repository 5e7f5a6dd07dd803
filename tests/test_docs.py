"The documentation site read in a real browser"
import json, re, sys
import pytest
from browsing import ROOT, needs_browser, needs_npm
from selenium.webdriver.common.by import By

def notebooks() -> list: # in reading order
    every = [p for p in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts]
    return sorted(every, key=lambda p: (p.name!='index.ipynb', p.stem))

def cells(path, kind): return [c for c in json.loads(path.read_text())['cells'] if c['cell_type']==kind]

def equations(path) -> int: # written in the notebook's text
    text = '\n\n'.join(''.join(c['source']) for c in cells(path,'markdown'))
    return len(re.findall(r'\$\$.+?\$\$|\$[^$\n]+\$', re.sub(r'```.*?```|`[^`\n]*`', '', text, flags=re.S), re.S))

# Reading

SEEN = '''{
  title: document.querySelector('h1').childNodes[0].textContent.trim(),
  equations: document.querySelectorAll('article .katex').length,
  failed: document.querySelectorAll('.katex-error').length,
  blank: [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src),
  next: document.querySelector('.md-footer__link--next')?.href,
  before: document.querySelector('.md-footer__link--prev')?.href}'''

@needs_browser
def test_reading_order(browser, address):
    "From page to page by the links at the foot: every notebook, whole, wide and narrow, and nothing from elsewhere"
    here,came_from,widths = address + 'index.html',None,[1400,390]
    for path in notebooks():
        browser.get(here); seen = browser.js(SEEN)
        assert seen['title']==''.join(cells(path,'markdown')[0]['source']).splitlines()[0].lstrip('# ')
        assert seen['before']==came_from, 'back leads to the page before'
        assert seen['equations']>=equations(path) and not seen['failed'], path
        assert not seen['blank']
        for width in widths:
            browser.screen(width)
            assert browser.js('document.documentElement.scrollWidth')<=width, f'{path} on {width} pixels'
        widths.reverse() # the next one is loaded as wide as this one was seen last
        assert browser.complaints()==[]
        assert [u for u in browser.requested() if not u.startswith((address,'data:','blob:'))]==[]
        here,came_from = seen['next'],here
    assert here==address + 'demo.html', 'which is no notebook'

@needs_browser
def test_requests_elsewhere_would_be_noticed(browser):
    browser.execute_async_script("fetch('http://elsewhere.example/').catch(() => 0).then(arguments[0])")
    assert 'http://elsewhere.example/' in browser.requested() and browser.complaints()

@needs_browser
@pytest.mark.parametrize('words, page', [
    ('adaptive rounding', 'quant/adaround.html'), ('gradient matching', 'synth/gradient_matching.html'),
    ('top1', 'models/datasets.html')])
def test_search(browser, address, words, page):
    browser.find_element(By.CSS_SELECTOR, '.md-search__button').click()
    field = 'document.activeElement.shadowRoot?.querySelector("input")'
    browser.wait(lambda: browser.js(field)).send_keys(words)
    results = '[...document.activeElement.shadowRoot.querySelectorAll("a[role=option]")].map(a => a.href)'
    first,*_ = browser.wait(lambda: browser.js(results))
    assert first.startswith(address + page)
    browser.execute_script('document.activeElement.shadowRoot.querySelector("a[role=option]").click()')
    browser.wait(lambda: browser.current_url.startswith(address + page))

@needs_browser
def test_map_leads_to_pages(browser, address):
    found = browser.js('[...document.querySelectorAll(".drawing a")].map(a => a.getAttribute("href"))')
    assert {'graph/trace.html', 'synth/synthesize.html', 'quant/reconstruct.html'} <= set(found)

@needs_browser
def test_signatures(browser, address):
    "Parameters with comments, and a link to the line that defines them"
    browser.get(address + 'quant/reconstruct.html#reconstruct')
    block = browser.js('document.getElementById("reconstruct").nextElementSibling.textContent')
    assert block.lstrip().startswith('def reconstruct(') and '#' in block
    link = browser.js('document.querySelector("a.source").href')
    file,line = re.fullmatch(r'https://.*/blob/main/(.+)#L(\d+)', link).groups()
    assert (ROOT/file).read_text().splitlines()[int(line)-1].startswith(('def ','class ','@'))

# Looks

CONTRAST = '''(() => {
  const shine = css => { const c = css.match(/[\\d.]+/g).map(Number)
    const f = c.slice(0,3).map(v => v/255).map(v => v<=.03928 ? v/12.92 : ((v+.055)/1.055)**2.4)
    return .2126*f[0] + .7152*f[1] + .0722*f[2] }
  const paint = document.createElement('canvas').getContext('2d', {willReadFrequently: true})
  const back = getComputedStyle(document.body).backgroundColor
  const over = css => { for (const c of [back, css]) { paint.fillStyle = c; paint.fillRect(0,0,1,1) }
    return 'rgb(' + [...paint.getImageData(0,0,1,1).data].slice(0,3).join() + ')' }
  const seen = s => shine(over(getComputedStyle(document.querySelector(s)).color)), b = shine(over(back))
  const ratio = a => (Math.max(a,b)+.05)/(Math.min(a,b)+.05)
  const what = {text: 'h2 + p', quote: 'blockquote p', link: 'p a', equation: '.katex'}
  return Object.assign({back: b}, ...Object.keys(what).map(k => ({[k]: ratio(seen('article ' + what[k]))})))
})()'''

@needs_browser
@pytest.mark.parametrize('theme', ['light','dark'])
def test_themes(browser, address, theme):
    "Text, links and equations stand out from the ground; figures lie on white in both"
    browser.theme(theme); browser.get(address + 'synth/gradient_matching.html')
    seen = browser.js(CONTRAST)
    assert seen['back']>.8 if theme=='light' else seen['back']<.05
    assert seen['text']>7 and seen['equation']>7 and min(seen['link'],seen['quote'])>4.5, seen
    browser.get(address + 'index.html')
    assert browser.js('getComputedStyle(document.querySelector("article img")).backgroundColor')=='rgb(255, 255, 255)'

@needs_browser
def test_theme_chosen_by_hand_stays(browser, address):
    scheme = lambda: browser.js('document.body.dataset.mdColorScheme')
    for _ in range(2): browser.find_element(By.CSS_SELECTOR, 'label[for^=__palette]:not([hidden])').click()
    assert scheme()=='slate'
    browser.get(address + 'core.html')
    assert scheme()=='slate'
    browser.execute_script('localStorage.clear()')

@needs_browser
def test_wide_things_scroll_inside_themselves_on_a_phone(browser, address):
    browser.screen(390); browser.get(address + 'synth/gradient_matching.html')
    wide = '''[...document.querySelectorAll('%s')].filter(e => e.scrollWidth>e.clientWidth+1)
              .map(e => getComputedStyle(e).overflowX)'''
    for what in ('div.equation', 'pre > code'):
        found = browser.js(wide % what)
        assert found and set(found)=={'auto'}, what

# Strictness

@pytest.fixture
def tools(monkeypatch):
    monkeypatch.syspath_prepend(ROOT/'tools'); monkeypatch.chdir(ROOT)
    import docs, page, site_faults
    yield docs, page, site_faults
    for m in ('docs','page','site_faults','readme'): sys.modules.pop(m)

@pytest.mark.parametrize('body, fault', [
    ('<a href="other.html#here">', None),
    ('<a href="gone.html">', 'no such file'),
    ('<img src="gone.png">', 'no such file'),
    ('<a href="other.html#gone">', 'no such place'),
    ('<i id="a"></i><i id="a">', 'two places'),
    ('<script src="https://elsewhere.example/x.js"></script>', 'another host'),
    ('<a href="https://github.com/sadag-nb/sadag_nb/blob/main/gone.py">', 'not in the repository'),
    ('an \\alpha in the text', 'left as text'),
    ('<code>an \\alpha in code</code>', None)])
def test_faults_are_found(tools, tmp_path, body, fault):
    *_,site_faults = tools
    (tmp_path/'page.html').write_text(body); (tmp_path/'other.html').write_text('<p id="here">')
    found = list(site_faults.faults(tmp_path))
    assert len(found)==bool(fault) and (not fault or fault in found[0])

@needs_npm
def test_equations_are_typeset_or_refused(tools, tmp_path):
    docs,*_ = tools; kept = docs.packages()
    (tmp_path/'search.json').write_text('{"items": [{"text": "so \\\\(a<b\\\\)"}]}'); page = tmp_path/'page.html'
    page.write_text('<span class="arithmatex">\\(a&lt;b\\)</span>'); docs.typeset(tmp_path, kept)
    assert 'class="katex"' in page.read_text() and 'so a<b' in (tmp_path/'search.json').read_text()
    page.write_text('<div class="arithmatex">\\[\\frac{1\\]</div>')
    with pytest.raises(SystemExit, match='page.html: KaTeX parse error'): docs.typeset(tmp_path, kept)

def test_a_folder_of_something_else_stays(tools, tmp_path):
    docs,*_ = tools; notes = tmp_path/'notes.txt'; notes.touch()
    for place in (tmp_path,notes):
        with pytest.raises(SystemExit, match='something else than a site'): docs.main(place)
    assert notes.is_file() and docs.ours(tmp_path/'new')
    notes.unlink(); assert docs.ours(tmp_path)

@needs_npm
def test_a_site_makes_way(tools, site): assert tools[0].ours(site)

def test_npm_missing_is_said(tools, tmp_path, monkeypatch):
    docs,*_ = tools
    monkeypatch.setattr(docs, 'root', tmp_path); monkeypatch.setattr(docs.shutil, 'which', lambda name: None)
    with pytest.raises(SystemExit, match='npm is missing'): docs.packages()

def test_link_to_no_file_ends_the_build(tools):
    _,page,_ = tools; p = page.Page(page.cfg.nbs_path/'index.ipynb')
    p.nb.cells[2].source += ' [gone](gone.ipynb)'
    with pytest.raises(SystemExit, match='links to gone.ipynb: no such file'): p.markdown([p])

@pytest.mark.parametrize('printed, left', [
    ('\x1b[31mred\x1b[0m\n', 'red'), (' 10%|#   | 1/9\r100%|####| 9/9\n', ''), ('a\rb\n', 'b'), ('a\r\nb', 'a\nb')])
def test_outputs_are_as_a_terminal_leaves_them(tools, printed, left):
    _,page,_ = tools
    assert page.terminal(printed)==left
