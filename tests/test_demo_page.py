"The page on which to draw a digit, in a real browser that can reach nothing but this machine"
import json
import pytest, torch
from browsing import needs_browser
from sadag_nb.deploy.onnx import OnnxNetwork
from sadag_nb.models.datasets import digits
from sadag_nb.models.zoo import pretrained
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

@pytest.fixture
def page(browser, address):
    "The demo page with its networks loaded, nothing drawn"
    browser.get(address + 'demo.html'); browser.wait(lambda: browser.js('window.demo'))
    return browser

def after(page, what:str) -> list: # answers
    "What the networks say after a call of the page's hook"
    return page.execute_async_script(f'demo.{what}.then(arguments[0])')

def drawn(page, points:list) -> list: # answers; points: shares of the canvas
    "Draw one line with the pen"
    canvas = page.find_element(By.CSS_SELECTOR, '.pad > canvas'); pen = ActionChains(page, duration=20)
    w,h = canvas.size['width'],canvas.size['height']
    def to(x, y): return pen.move_to_element_with_offset(canvas, (x-.5)*w, (y-.5)*h)
    to(*points[0]).click_and_hold()
    for p in points[1:]: to(*p)
    pen.release().perform()
    return after(page, 'update()')

@needs_browser
def test_it_is_in_the_navigation_and_asks_no_other_host(page, address):
    assert 'Demo' in page.js('[...document.querySelectorAll("nav a")].map(a => a.textContent.trim())')
    asked = page.requested()
    assert {address+'demo/fp32.onnx', address+'demo/w4a4.onnx'} <= set(asked)
    assert [u for u in asked if not u.startswith((address,'data:','blob:'))]==[]
    assert page.complaints()==[]

@needs_browser
def test_examples_are_held_out_digits_and_answered_as_in_python(page, site):
    facts = json.loads((site/'demo/demo.json').read_text()); card,held = pretrained('resnet20-digits').card,digits()
    for e,button in zip(facts['examples'], page.find_elements(By.CSS_SELECTOR, '.examples button'), strict=True):
        button.click(); said = after(page, 'update()')
        assert [a['said'] for a in said]==[str(e['label'])]*2
        x = held.data[held.labels==e['label']][:1]
        for a,n in zip(said, facts['networks'], strict=True):
            ours = OnnxNetwork(site/'demo'/n['file'])(card.normalise(x)).softmax(1)[0]
            torch.testing.assert_close(torch.tensor(a['probabilities']), ours, rtol=0, atol=.02)

@needs_browser
@pytest.mark.parametrize('digit, points', [
    (1, [(.5,.12),(.5,.88)]), (7, [(.25,.15),(.75,.15),(.45,.88)]),
    (0, [(.5,.14),(.69,.25),(.75,.5),(.69,.75),(.5,.86),(.31,.75),(.25,.5),(.31,.25),(.5,.14)])])
def test_drawn_digits_are_read(page, digit, points):
    assert [a['said'] for a in drawn(page, points)]==[str(digit)]*2
    assert all('ms' in t for t in page.js('[...document.querySelectorAll(".time")].map(e => e.textContent)'))

@needs_browser
def test_drawings_are_brought_to_the_middle(page):
    "A small line in a corner is read as one in the middle is"
    corner = drawn(page, [(.9,.1),(.9,.6)]); after(page, 'clear()'); middle = drawn(page, [(.5,.3),(.5,.8)])
    for a,b in zip(corner, middle):
        assert a['said']==b['said'] and max(abs(p-q) for p,q in zip(a['probabilities'],b['probabilities']))<.01

@needs_browser
def test_cleared(page):
    drawn(page, [(.5,.2),(.5,.8)]); page.find_element(By.CSS_SELECTOR, '.pad button').click()
    assert [a['said'] for a in after(page, 'update()')]==[None,None]
    assert page.js('[...document.querySelectorAll(".bars i")].map(e => e.style.width)')==['0%']*20

@needs_browser
def test_files_that_are_missing_are_said(page, address):
    page.execute_cdp_cmd('Network.enable', {})
    page.execute_cdp_cmd('Network.setBlockedURLs', dict(urls=['*w4a4.onnx']))
    try:
        page.get(address + 'demo.html'); text = lambda: page.js('document.querySelector(".state").textContent')
        assert page.wait(lambda: text()!='Loading …' and text()).startswith('The networks cannot be loaded')
    finally: page.execute_cdp_cmd('Network.setBlockedURLs', dict(urls=[])); page.complaints()

@needs_browser
@pytest.mark.parametrize('width', [1400,390])
def test_it_fits_the_screen(page, width):
    page.screen(width)
    assert page.js('document.documentElement.scrollWidth')<=width
