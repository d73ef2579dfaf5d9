// What changed between two versions.

import { el, bytes, count, visible } from './dom.js';

const known = new Map(); // comparisons never change

const tries = 20; // each waits a second or two at the server, and one here

/** Asks for a comparison; the server makes it while we wait, and says 503 until it has. */
async function compare(from, to) {
  const name = `${from}..${to}`;
  for (let i = 0; !known.has(name); i++) {
    const answer = await fetch(`.regfs/diff/${name}.json`);
    if (answer.ok) known.set(name, await answer.json());
    else if (answer.status !== 503 || i === tries) throw new Error(`status ${answer.status}`);
    else await new Promise((go) => { setTimeout(go, 1000); });
  }
  return known.get(name);
}

/** Fills the panel below a version. */
export function panel(box, version, context) {
  const others = context.others(version);
  const chosen = others.find((other) => other.manifest === box.dataset.from) ?? context.previous(version);
  const select = el('select', { onchange: () => load(select.value) },
    ...others.map((other) => el('option', { value: other.manifest, selected: other === chosen }, label(other))));
  const result = el('div', { className: 'result' });
  const load = async (from) => {
    box.dataset.from = from;
    result.replaceChildren(el('p', { className: 'quiet' }, 'Comparing …'));
    try {
      const other = others.find((o) => o.manifest === from);
      const diff = await compare(from, version.manifest);
      if (box.dataset.from !== from) return; // another was chosen meanwhile
      result.replaceChildren(...summary(diff, other, version));
      context.say(spoken(diff.totals));
    } catch {
      result.replaceChildren(el('p', { className: 'problem' }, 'These two cannot be compared now. '),
        el('button', { type: 'button', onclick: () => load(from) }, 'Try again'));
    }
  };
  box.replaceChildren(el('label', { className: 'against' }, `${label(version)} compared with `, select), result);
  load(chosen.manifest);
}

const label = (version) => version.tags.slice(0, 3).map((tag) => tag.name).join(', ') + (version.tags.length > 3 ? ' …' : '');

const spoken = (totals) => ['added', 'removed', 'changed'].map((kind) => `${count(totals[kind].files, 'file')} ${kind}`).join(', ');

const signs = { added: '+', removed: '−', changed: '~' };

function summary(diff, from, to) {
  const t = diff.totals;
  if (diff.changes.length + diff.omitted === 0) return [el('p', { className: 'quiet' }, `Nothing differs in ${count(t.same.files, 'file')}.`)];
  const numbers = el('dl', { className: 'totals' },
    total('added', t.added.files, bytes(t.added.bytes)),
    total('removed', t.removed.files, bytes(t.removed.bytes)),
    total('changed', t.changed.files, `${bytes(t.was)} → ${bytes(t.changed.bytes)}`),
    total('same', t.same.files, bytes(t.same.bytes)));
  const cost = el('p', { className: 'quiet' }, `A visitor who has ${label(from)} fetches ${count(t.visitor.files, 'file')}, ${bytes(t.visitor.bytes)}. `
    + `This server fetches at most ${bytes(t.transfer)} from the registry.`);
  const list = el('ul', { className: 'files' }, ...diff.changes.map((change) => line(change, from, to)));
  const rest = diff.omitted > 0 ? el('p', { className: 'quiet' }, `${count(diff.omitted, 'more file')}: `, el('code', {}, command(from, to)), ' lists all.') : null;
  return [numbers, cost, list, rest].filter((part) => part !== null);
}

const command = (from, to) => `regfs diff ${from.repo}:${from.tags[0].name} ${to.repo}:${to.tags[0].name}`;

function total(kind, files, text) {
  return el('div', { className: kind }, el('dt', {}, kind), el('dd', {}, el('b', {}, String(files)), el('span', {}, text)));
}

function line(change, from, to) {
  const site = change.kind === 'removed' ? from : to;
  const href = `./${site.repo.split('/').map(encodeURIComponent).join('/')}@${site.digest}/${change.path.split('/').map(encodeURIComponent).join('/')}`;
  const slash = change.path.lastIndexOf('/') + 1;
  const grown = change.to - change.from;
  const text = { added: bytes(change.to), removed: bytes(change.from), changed: grown === 0 ? bytes(change.to) : `${grown > 0 ? '+' : '−'}${bytes(Math.abs(grown))}` };
  return el('li', { className: change.kind },
    el('span', { className: 'sign', title: change.kind }, signs[change.kind]),
    el('a', { href: site.digest ? href : null },
      el('bdi', {}, el('span', { className: 'above' }, visible(change.path.slice(0, slash))), visible(change.path.slice(slash)))),
    el('span', { className: 'size' }, text[change.kind]));
}
