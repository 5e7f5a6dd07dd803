// Draw a digit, and see what a network and its 4-bit copy say. Everything is loaded from this file's folder.
import * as ort from './ort.wasm.min.mjs'

const INK = 36, SIDE = 256, CELLS = 8, SHADES = 16, SAMPLES = 21, GAIN = 2 // pen and canvas, pixels; digits; times kept; largest zoom
const at = file => new URL(file, import.meta.url)
const make = (kind, name, text='') => Object.assign(document.createElement(kind), {className: name, textContent: text})
const root = document.querySelector('.demo'), canvas = root.querySelector('canvas'), state = root.querySelector('.state')
const paint = canvas.getContext('2d', {willReadFrequently: true})
let facts, networks = [], framed = false, drawn = false, turn = Promise.resolve([]) // framed: the canvas shows 8×8 squares

// Canvas to network input

function extent() { // of the ink: left, top, width, height
  const d = paint.getImageData(0, 0, SIDE, SIDE).data
  let l = SIDE, t = SIDE, r = -1, b = -1
  for (let i = 0; i < SIDE*SIDE; i++) if (d[4*i] > 64) {
    const x = i%SIDE, y = (i-x)/SIDE
    l = Math.min(l, x); r = Math.max(r, x); t = Math.min(t, y); b = Math.max(b, y)
  }
  return r < 0 ? null : [l, t, r-l+1, b-t+1]
}

function fitted() { // the canvas with its ink at full height, in the middle
  const [l, t, w, h] = extent(), k = Math.min(SIDE/h, SIDE/w, GAIN)
  const to = new OffscreenCanvas(SIDE, SIDE).getContext('2d')
  to.fillRect(0, 0, SIDE, SIDE)
  to.drawImage(canvas, l, t, w, h, (SIDE-w*k)/2, (SIDE-h*k)/2, w*k, h*k)
  return to
}

function levels() { // 64 numbers from 0 to 16; null if nothing is drawn
  if (!drawn || !extent()) return null
  const d = (framed ? paint : fitted()).getImageData(0, 0, SIDE, SIDE).data, sums = Array(CELLS*CELLS).fill(0), cell = SIDE/CELLS
  for (let i = 0; i < SIDE*SIDE; i++) sums[Math.floor(Math.floor(i/SIDE)/cell)*CELLS + Math.floor(i%SIDE/cell)] += d[4*i]
  return sums.map(s => Math.round(SHADES*s/(cell*cell*255)))
}

function input(found) { // doubled and normalised
  const [, h, w] = facts.card.shape, x = new Float32Array(h*w), [mean] = facts.card.mean, [std] = facts.card.std
  for (let i = 0; i < h*w; i++) {
    const level = found[Math.floor(Math.floor(i/w)*CELLS/h)*CELLS + Math.floor(i%w*CELLS/w)]
    x[i] = (Math.round(level*255/SHADES)/255 - mean)/std
  }
  return new ort.Tensor('float32', x, [1, 1, h, w])
}

// Answers

function softmax(y) {
  const top = Math.max(...y), e = y.map(v => Math.exp(v-top)), sum = e.reduce((a, b) => a+b)
  return e.map(v => v/sum)
}

async function answer(n, x) {
  const start = performance.now(), {logits} = await n.session.run({images: x})
  n.times = [...n.times, performance.now()-start].slice(-SAMPLES)
  n.probabilities = softmax([...logits.data])
}

function show(n) {
  const p = n.probabilities, best = p && p.indexOf(Math.max(...p)), times = [...n.times].sort((a, b) => a-b)
  n.said.textContent = p ? facts.card.classes[best] : '–'
  n.time.textContent = times.length ? `${times[times.length >> 1].toFixed(1)} ms an image` : ''
  n.bars.forEach((bar, i) => {
    bar.style.width = `${p ? 100*p[i] : 0}%`; bar.title = p ? `${(100*p[i]).toFixed(1)} %` : ''
    bar.classList.toggle('best', i === best)
  })
}

function update() { // one after another; resolves to the answers
  turn = turn.then(async () => {
    const found = levels(), x = found && input(found)
    for (const n of networks) { if (x) await answer(n, x); else n.probabilities = null; show(n) }
    return answers()
  })
  return turn
}

const answers = () => networks.map(n => ({name: n.name, said: n.probabilities && n.said.textContent, probabilities: n.probabilities}))

function clear() {
  paint.fillStyle = 'black'; paint.fillRect(0, 0, SIDE, SIDE); framed = drawn = false
  return update()
}

function put(found) {
  const cell = SIDE/CELLS
  found.forEach((v, i) => {
    const grey = Math.round(v*255/SHADES)
    paint.fillStyle = `rgb(${grey} ${grey} ${grey})`; paint.fillRect(i%CELLS*cell, Math.floor(i/CELLS)*cell, cell, cell)
  })
  framed = drawn = true
  return update()
}

// Page

function pen() {
  let last = null
  const place = e => { const r = canvas.getBoundingClientRect(); return [(e.clientX-r.left)*SIDE/r.width, (e.clientY-r.top)*SIDE/r.height] }
  const line = e => {
    const p = place(e)
    Object.assign(paint, {strokeStyle: 'white', lineWidth: INK, lineCap: 'round', lineJoin: 'round'})
    paint.beginPath(); paint.moveTo(...(last ?? p)); paint.lineTo(...p); paint.stroke(); last = p
  }
  canvas.addEventListener('pointerdown', e => { canvas.setPointerCapture(e.pointerId); drawn = true; line(e) })
  canvas.addEventListener('pointermove', e => { if (last) line(e) })
  for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => { last = null; update() })
  root.querySelector('button').addEventListener('click', clear)
}

function panel(n) {
  const box = make('section', 'network'), rows = make('div', 'bars')
  n.said = make('strong', 'said', '–'); n.time = make('span', 'time')
  const size = make('span', 'size', `${(n.bytes/1e3).toFixed(0)} kB`), right = make('span', 'right', `${n.top1.toFixed(1)} % right`)
  n.bars = facts.card.classes.map(c => {
    const bar = make('i'), track = make('span', 'track')
    track.append(bar); rows.append(make('span', 'class', c), track)
    return bar
  })
  box.append(make('h3', '', n.name), n.said, size, right, n.time, rows)
  return box
}

function example({label, levels}) {
  const b = make('button'), c = Object.assign(make('canvas'), {width: CELLS, height: CELLS}), small = c.getContext('2d')
  const image = small.createImageData(CELLS, CELLS)
  levels.forEach((v, i) => image.data.set([0, 1, 2].map(() => v*255/SHADES).concat(255), 4*i))
  small.putImageData(image, 0, 0)
  Object.assign(b, {type: 'button', title: `a ${label}`, onclick: () => put(levels)}); b.append(c)
  return b
}

async function start() {
  ort.env.wasm.numThreads = 1 // more need headers for isolation, which a plain server does not send
  ort.env.wasm.wasmPaths = at('.').href
  facts = await (await fetch(at('demo.json'))).json()
  for (const n of facts.networks) {
    const session = await ort.InferenceSession.create(at(n.file).href, {executionProviders: ['wasm'], logSeverityLevel: 3})
    networks.push({...n, session, times: []})
  }
  root.querySelector('.answers').append(...networks.map(panel)); root.querySelector('.examples').append(...facts.examples.map(example))
  await clear(); pen(); state.textContent = 'Draw here, or choose a digit.'
  window.demo = {put, clear, answers, update}
}

start().catch(e => { state.textContent = `The networks cannot be loaded: ${e.message}`; throw e })
