"Explorers: what their figures show, that they follow their controls, and one of them in JupyterLab in a real browser"
import os, re, socket, subprocess, sys, time, urllib.request
from types import SimpleNamespace
import nbformat, numpy as np
import pytest, torch
from browsing import CHROMIUM, DRIVER, needs
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from sadag_nb.app.widgets import (Live, Neighbourhood, Tradeoff, clipping_explorer, clipping_figure, landscape_explorer,
    landscape_figure, live_figure, neighbour_explorer, neighbour_figure, pareto_explorer, pareto_figure)
from sadag_nb.core import SettingError, frozen
from sadag_nb.mixed.allocate import Allocation
from sadag_nb.models.zoo import Card
from sadag_nb.quant.policy import Bits

# A network of two convolutions and a linear layer, for images of two channels

@pytest.fixture(scope='module')
def tiny():
    torch.manual_seed(0); nn = torch.nn
    net = nn.Sequential(nn.Conv2d(2,4,3,padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4,4,3), nn.BatchNorm2d(4),
                        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,3))
    net.card = Card('tiny', (2,8,8), (.5,.5), (.25,.25), outputs=3)
    return frozen(net)

@pytest.fixture(scope='module')
def images(): return torch.randn(2,2,8,8, generator=torch.Generator().manual_seed(0))

def moves(box, **values):
    "Each new value of a control gives another picture; the old ones together give the old picture again"
    first,old = box.picture.value,{k:w.value for k,w in box.controls.items()}
    for k,v in values.items():
        before = box.picture.value; box.controls[k].value = v
        assert box.picture.value[:4]==b'\x89PNG' and box.picture.value!=before, k
    for k,v in old.items(): box.controls[k].value = v
    assert box.picture.value==first

# Figures

def test_clipping_figure():
    "Two bits have four points; a star stands where the error is least"
    w = torch.linspace(-1,1,201)**3; left,right = clipping_figure(w,2,.5).axes; curve,here,best = right.lines
    assert len(left.lines)==4
    points = torch.tensor([l.get_xdata()[0] for l in left.lines]); nearest = points[(w[:,None]-points).abs().argmin(1)]
    error = ((w-nearest).square().sum()/w.square().sum()).item()
    assert here.get_ydata()[0]==pytest.approx(error, rel=1e-4) and here.get_xdata()[0]==.5
    assert best.get_ydata()[0]==pytest.approx(min(curve.get_ydata()), rel=1e-5)

def test_neighbour_figure():
    "The third picture is the second less the first; the point stands at rho on the chosen curve"
    near = Neighbourhood(lambda name,rho: torch.full((1,3,2,2), .1*rho),
                         lambda name,rho: torch.tensor([rho**2*(2 if name=='worst' else 1)]))
    image,other,change,ax = neighbour_figure(near, lambda x: x, 0, 3., 'random').axes; worst,chance,point = ax.lines
    assert np.allclose(change.get_images()[0].get_array(), .3) and np.allclose(other.get_images()[0].get_array(), .3)
    assert np.allclose(worst.get_ydata(), 2*chance.get_ydata()) and (point.get_xdata()[0],point.get_ydata()[0])==(3.,9.)

def test_landscape_figure():
    "The cut is the middle row of the plane, for both networks"
    bowl = lambda bits,reach,points: ([-1.,0.,1.], (9. if bits else 1.)*np.array([[3.,2,3],[2,1,2],[3,2,3]]))
    plane,cut,_ = landscape_figure(SimpleNamespace(plane=bowl), 4, 1., 3).axes
    assert [l.get_ydata().tolist() for l in cut.lines]==[[18.,9.,18.],[2.,1.,2.]] and cut.lines[0].get_label()=='W4A4'
    assert plane.get_xlabel() and cut.get_yscale()=='log'

@pytest.fixture
def choice(): # of 1, 2 and 3 kB
    a = [Allocation({'a':Bits(b,None), 'b':Bits(8,8)}, 10.**-k, {'size':1e3*k}) for k,b in ((1,2),(2,4),(3,8))]
    return Tradeoff(a, {4:a[1]})

@pytest.mark.parametrize('size,bits', [(1.,2),(2.9,4),(3.,8),(99.,8)])
def test_pareto_figure(choice, size, bits):
    "The bars are the bits of the last allocation that fits"
    top,bottom = pareto_figure(choice, size).axes
    assert [p.get_height() for p in bottom.patches]==[bits,8] and top.lines[2].get_xdata()[0]<=size
    assert [t.get_text() for t in bottom.get_xticklabels()]==['a','b']

def test_pareto_too_small(choice):
    with pytest.raises(SettingError, match=r'smallest allocation has 1\.0 kB'): pareto_figure(choice, .9)

def test_live_figure():
    "Every term has a line through its own steps"
    rows = [dict(step=0, bn=4., loss=4.), dict(step=20, bn=2., matching=1., loss=3.)]
    _,ax = live_figure(torch.rand(4,1,5,5), rows).axes
    assert {l.get_label():(l.get_xdata().tolist(),l.get_ydata().tolist()) for l in ax.lines}== \
        {'bn':([0,20],[4.,2.]), 'matching':([20],[1.]), 'loss':([0,20],[4.,3.])}

# Explorers

def test_clipping_explorer(tiny):
    box = clipping_explorer(tiny); assert list(box.controls['layer'].options)==['0','3','8']
    moves(box, layer='3', bits=2, ratio=.5)

def test_neighbour_explorer(tiny): moves(neighbour_explorer(tiny, n=2, steps=3), i=1, rho=3., direction='random')
def test_landscape_explorer(tiny, images): moves(landscape_explorer(tiny, images, points=3), bits=2, reach=.5)

def test_pareto_explorer(tiny, images):
    box = pareto_explorer(tiny, images); size = box.controls['kilobytes']
    moves(box, kilobytes=size.max); size.value = size.min; assert box.told.value==''

def test_explorer_tells_of_a_mistake():
    "A setting that cannot be drawn leaves the picture and says why"
    box = clipping_explorer(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4,2)).eval(), (1,2,2))
    before = box.picture.value
    box.controls['bits'].max = 9; box.controls['bits'].value = 9
    assert box.told.value.startswith('bits must be') and box.picture.value==before
    box.controls['bits'].value = 3; assert box.told.value=='' and box.picture.value!=before

def test_live(tiny):
    "Runs to its end and again; a mistake is told; stop is heard"
    live = Live(tiny, 'genie', n=2, steps=2, device='cpu')
    for _ in range(2):
        live.begin_button.click(); live.thread.join(60)
        assert live.told.value=='done' and live.images.shape==(2,2,8,8)
    assert live.picture.value[:4]==b'\x89PNG'
    live.settings['n'] = 0; live.begin(); live.thread.join(60)
    assert live.told.value.startswith('n must be at least 1')
    live.settings.update(n=2, steps=10**6); live.begin(); live.stop_button.click(); live.thread.join(60)
    step = re.fullmatch(r'stopped after step (\d+)', live.told.value)[1]; assert int(step)<10**6-1 and not live.begin_button.disabled

# JupyterLab

NOTEBOOK = '''from sadag_nb.app.widgets import clipping_explorer
from sadag_nb.models.zoo import pretrained
clipping_explorer(pretrained('resnet20-digits'))'''

def free_port() -> int:
    with socket.socket() as s: s.bind(('127.0.0.1',0)); return s.getsockname()[1]

@pytest.fixture
def lab(tmp_path):
    "The address of a notebook in a JupyterLab that only this machine reaches"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)], metadata=dict(
        kernelspec=dict(name='python3', display_name='Python 3', language='python'))), tmp_path/'explore.ipynb')
    port,token = free_port(),os.urandom(16).hex()
    env = dict(os.environ, IPYTHONDIR=str(tmp_path/'ipython'), OMP_NUM_THREADS='1', MKL_NUM_THREADS='1',
               **{f'JUPYTER_{k}_DIR':str(tmp_path/k.lower()) for k in ('CONFIG','RUNTIME','DATA')})
    for k in ('JUPYTER_PATH','JUPYTER_CONFIG_PATH'): env.pop(k, None)
    settings = ('ServerApp.ip=127.0.0.1', f'ServerApp.port={port}', 'ServerApp.port_retries=0',
        f'IdentityProvider.token={token}', f'ServerApp.root_dir={tmp_path}', 'LabApp.news_url=None',
        'LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate')
    command = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root']
    server = subprocess.Popen([*command, *('--'+s for s in settings)],
        env=env, cwd=tmp_path, stdout=(tmp_path/'log').open('w'), stderr=subprocess.STDOUT)
    yield SimpleNamespace(root=f'http://127.0.0.1:{port}/', token=token, server=server, log=tmp_path/'log')
    server.terminate(); server.wait(20)

def up(lab):
    "Wait until the server answers"
    for _ in range(300):
        assert lab.server.poll() is None, lab.log.read_text()
        try: return urllib.request.urlopen(lab.root+'api', timeout=5).read()
        except OSError: time.sleep(.1)
    pytest.fail(lab.log.read_text())

@pytest.fixture
def browser():
    options = ChromeOptions(); options.binary_location = CHROMIUM
    flags = ('headless=new', 'no-sandbox', 'disable-gpu', 'disable-dev-shm-usage', 'disable-background-networking',
             'window-size=1400,1000', 'host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1')
    for f in flags: options.add_argument('--'+f)
    found = Chrome(options=options, service=Service(DRIVER))
    yield found
    found.quit()

PIXELS = '''const done = arguments[0], img = document.querySelector('.jp-OutputArea img.widget-image');
  if (!img || !img.naturalWidth) return done(null);
  const c = document.createElement('canvas'); c.width = img.naturalWidth; c.height = img.naturalHeight;
  const g = c.getContext('2d'); g.drawImage(img, 0, 0); done(c.toDataURL());'''

@needs('chromium','chromedriver')
def test_jupyterlab(lab, browser):
    "Opens a notebook, runs it, moves a slider: the figure changes"
    up(lab); browser.get(f'{lab.root}lab/tree/explore.ipynb?token={lab.token}')
    def wait(found): return WebDriverWait(browser, 120).until(lambda _: found())
    def one(css): return next(iter(browser.find_elements(By.CSS_SELECTOR, css)), None)
    def press(key): ActionChains(browser).send_keys(key).perform()
    def pixels(): return browser.execute_async_script(PIXELS)
    run = '.jp-NotebookPanel-toolbar [data-command="notebook:run-cell-and-select-next"]'
    wait(lambda: one(run) and (bar:=one('#jp-main-statusbar')) and '| Idle' in bar.text) # the kernel is connected
    one(run).click()
    first = wait(pixels); label = [e.text for e in browser.find_elements(By.CSS_SELECTOR, '.widget-readout')]
    assert label==['4','1.00']
    handle = one('.jp-OutputArea .noUi-handle'); browser.execute_script('arguments[0].focus()', handle); press(Keys.ARROW_LEFT)
    second = wait(lambda: (p:=pixels())!=first and p)
    assert second[:14]=='data:image/png' and one('.widget-readout').text=='3'
    press(Keys.ARROW_RIGHT); wait(lambda: pixels()==first) # back where it was
