// Keeps the page up to date: asks for sites.json, shows it, and asks again while
// somebody looks.

import { count } from './dom.js';
import { repositories, search, moves } from './model.js';
import { show, tick, nothing } from './view.js';

const byId = (id) => document.getElementById(id);
const [list, box, state, dot, problem, news] = ['list', 'search', 'state', 'dot', 'problem', 'news'].map(byId);

// Times in milliseconds. Asking costs a 304 as long as nothing has changed.
const soonest = 1000;
const latest = 10_000;
const afterFailure = 30_000;
const freshFor = 6000;

let sites = null;
let repos = [];
let etag = null;
let timer = 0;
let failures = 0;
const fresh = new Set(); // tags that moved just now, as "repository:tag"

const context = {
  fresh,
  redraw: () => draw(),
  say: (text) => { byId('spoken').textContent = text; },
  others: (version) => byName.get(version.repo).versions.filter((other) => other.manifest && other.manifest !== version.manifest),
  previous: (version) => {
    const all = byName.get(version.repo).versions.filter((other) => other.manifest);
    const at = all.findIndex((other) => other.manifest === version.manifest);
    return all[at + 1] ?? all[at - 1];
  },
  origin: (label) => {
    const near = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
    const port = location.port ? `:${location.port}` : '';
    return `${location.protocol}//${label}.sites.${near ? 'localhost' : location.hostname}${port}/`;
  },
};
let byName = new Map();

function draw() {
  const query = box.value.trim();
  const found = search(repos, query);
  show(list, found, context);
  list.querySelectorAll(':scope > .nothing').forEach((node) => node.remove());
  if (found.length === 0 && sites) list.append(...nothing(query));
  if (sites) state.textContent = summary(found, query);
}

function summary(found, query) {
  const tags = (all) => all.reduce((n, repo) => n + repo.tags, 0);
  const some = query ? `${count(found.length, 'repository', 'repositories')} of ` : '';
  const text = `${some}${count(repos.length, 'repository', 'repositories')}, ${count(tags(repos), 'tag')}`;
  return sites.pending > 0 ? `${text}, looking at ${count(sites.pending, 'tag')}` : text;
}

function take(next) {
  const moved = moves(sites, next);
  sites = next;
  repos = repositories(sites);
  byName = new Map(repos.map((repo) => [repo.name, repo]));
  byId('registry').textContent = sites.registry;
  document.title = `Sites of ${sites.registry}`;
  announce(moved);
  draw();
  document.documentElement.dataset.ready = 'true';
}

function announce(moved) {
  if (moved.length === 0) return;
  for (const { name } of moved) fresh.add(name);
  const [{ name, isNew }] = moved;
  news.textContent = moved.length > 1 ? `${count(moved.length, 'tag')} are new or have moved` : `${name} ${isNew ? 'is new' : 'has moved'}`;
  setTimeout(() => {
    for (const { name } of moved) fresh.delete(name);
    news.textContent = '';
    draw();
  }, freshFor);
}

async function ask() {
  const answer = await fetch('.regfs/sites.json', { cache: 'no-cache' });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const tag = answer.headers.get('etag');
  if (sites && tag && tag === etag) return answer.body?.cancel(); // a 304, which fetch hides
  const next = await answer.json();
  if (next.version !== 1) throw new Error('this page is older than its server: load it again');
  etag = tag;
  take(next);
}

async function poll() {
  clearTimeout(timer);
  try {
    await ask();
    failures = 0;
  } catch {
    failures++;
  }
  say();
  if (!document.hidden) timer = setTimeout(poll, pause());
}

function pause() {
  if (failures > 0) return Math.min(soonest * 2 ** failures, afterFailure);
  if (!sites || sites.pending > 0) return 2 * soonest;
  return Math.min(Math.max(sites.refresh * 500, soonest), latest);
}

/** Says how far what is shown can be believed. */
function say() {
  const text = failures > 1 ? 'The server does not answer. What is shown may be old.' : failures === 0 && sites?.problem ? `${sites.problem}. What is shown may be old.` : '';
  problem.textContent = text.charAt(0).toUpperCase() + text.slice(1);
  problem.hidden = text === '';
  dot.dataset.state = text ? 'bad' : sites ? 'live' : 'asking';
}

// In the background nothing is asked; who comes back sees what is new at once.
document.addEventListener('visibilitychange', () => {
  clearTimeout(timer);
  if (!document.hidden) poll();
});
addEventListener('online', poll);

box.addEventListener('input', () => {
  draw();
  const query = box.value.trim();
  history.replaceState(null, '', query ? `#${encodeURIComponent(query)}` : location.pathname);
});
addEventListener('keydown', (event) => {
  const typing = /^(input|select|textarea)$/i.test(event.target.tagName);
  if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    box.focus();
    box.select();
  }
  if (event.key === 'Escape' && event.target === box && box.value === '') box.blur();
});

try { box.value = decodeURIComponent(location.hash.slice(1)); } catch { /* not one of ours */ }
setInterval(() => { if (!document.hidden) tick(list); }, 30_000);
poll();
