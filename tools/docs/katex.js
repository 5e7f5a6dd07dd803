// Typeset equations: a JSON list of {tex, display} comes in, one of {html} or {error} goes out
const katex = require('katex')
const typeset = ({tex, display}) => {
  try { return {html: katex.renderToString(tex, {displayMode: display, strict: 'ignore'})} }
  catch (e) { return {error: e.message} }
}
const equations = JSON.parse(require('fs').readFileSync(0, 'utf8'))
process.stdout.write(JSON.stringify(equations.map(typeset)))
