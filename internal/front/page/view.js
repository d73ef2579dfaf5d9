// The list of repositories and their versions.

import { el, keyed, pressNear, ago, bytes, count, icon, moment, visible } from './dom.js';
import { panel } from './diff.js';

// How much is shown at first, and how much more at a time: a page of a screen
// or two, whatever there is.
const repoStep = 40;
const fewVersions = 5;
const manyVersions = 25;
const versionStep = 100;
const tagStep = 8;
const moreTags = 200;

const shown = new Map(); // how much of a list is shown, by its name

const limit = (name, first) => shown.get(name) ?? first;

/** Shows repositories; fresh are the names of tags that moved just now. */
export function show(list, repos, context) {
  const wanted = limit('repos', repoStep);
  const first = repos.length > 3 ? fewVersions : manyVersions;
  const sections = repos.slice(0, wanted).map((repo) => ({ ...repo, first, context }));
  keyed(list, sections, makeRepo, updateRepo);
  more(list, repos.length - wanted, 'repository', 'repositories', () => grow('repos', wanted + repoStep, context));
}

function grow(name, to, context) {
  shown.set(name, to);
  context.redraw();
}

/**
 * Keeps a button for the rest at the end of a list. Once it was pressed it
 * presses itself when it comes near.
 */
function more(parent, rest, one, many, go) {
  if (rest <= 0) {
    parent.more?.remove();
    parent.more = null;
    return;
  }
  const button = parent.more ?? el('button', { type: 'button', className: 'more' });
  if (!parent.more) button.addEventListener('click', () => pressNear(button), { once: true });
  button.onclick = go;
  button.textContent = count(rest, `more ${one}`, `more ${many}`);
  parent.append(button);
  parent.more = button;
}

function makeRepo(repo) {
  const id = `repo-${repo.name}`;
  const parts = repo.name.split('/');
  const heading = el('h2', { id },
    ...(parts.length > 1 ? [el('span', { className: 'above' }, parts.slice(0, -1).join('/') + '/')] : []),
    parts.at(-1));
  return el('section', { 'aria-labelledby': id },
    el('header', {}, heading, el('p', { className: 'counts' })),
    el('p', { className: 'problem', hidden: true }),
    el('ul', { className: 'versions' }));
}

function updateRepo(section, repo) {
  const [header, problem, list] = section.children;
  header.lastElementChild.textContent = counts(repo);
  problem.textContent = repo.problem ?? '';
  problem.hidden = !repo.problem;
  const name = `versions of ${repo.name}`;
  const wanted = limit(name, repo.first);
  const items = repo.versions.slice(0, wanted).map((version) => ({ ...version, context: repo.context }));
  keyed(list, items, makeVersion, updateVersion);
  more(list, repo.versions.length - wanted, 'version', 'versions', () => grow(name, wanted + versionStep, repo.context));
}

function counts(repo) {
  if (repo.tags === 0) return 'no tags';
  if (!repo.resolved || repo.tags === repo.all) return count(repo.tags, repo.resolved ? 'version' : 'tag');
  return `${count(repo.all, 'version')}, ${count(repo.tags, 'tag')}`;
}

function makeVersion() {
  return el('li', {}, el('div', { className: 'line' }), el('div', { className: 'panel', hidden: true }));
}

function updateVersion(item, version) {
  const { context, ...data } = version;
  const open = limit(`tags of ${version.repo} ${version.key}`, tagStep);
  const news = version.tags.filter((tag) => context.fresh.has(`${version.repo}:${tag.name}`)).map((tag) => tag.name);
  const signature = JSON.stringify([data, open, news, context.others(version).length > 0]);
  item.version = version;
  if (item.signature === signature) return;
  item.signature = signature;
  const line = item.firstElementChild;
  const focus = line.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  line.replaceChildren(tags(version, open, context), when(version), size(version), files(version), address(version), changes(item, context));
  if (focus) [...line.querySelectorAll('[data-key]')].find((node) => node.dataset.key === focus)?.focus();
}

/** Addresses of the mount are relative to the page; "./" keeps a colon from being a scheme. */
const link = (path) => './' + path.split('/').map(encodeURIComponent).join('/') + '/';

function tags(version, open, context) {
  const chips = version.tags.slice(0, open).map((tag) => chip(version, tag, context));
  const rest = version.tags.length - open;
  if (rest > 0) {
    const name = `tags of ${version.repo} ${version.key}`;
    chips.push(el('li', {}, el('button', {
      type: 'button', className: 'rest', data: { key: 'rest' }, onclick: () => grow(name, open + moreTags, context),
    }, `${count(rest, 'more tag')}`)));
  }
  return el('ul', { className: 'tags' }, ...chips);
}

function chip(version, tag, context) {
  const fresh = context.fresh.has(`${version.repo}:${tag.name}`);
  const own = tag.host ? context.origin(tag.host) : null;
  return el('li', { className: 'tag' + (fresh ? ' fresh' : '') + (tag.name === 'latest' ? ' latest' : '') },
    el('a', { href: link(tag.path), data: { key: `tag ${tag.name}` } }, tag.name),
    own && el('a', {
      href: own, className: 'own', data: { key: `own ${tag.name}` },
      title: `${new URL(own).host}: an origin of its own`, 'aria-label': `${tag.name} on an origin of its own`,
    }, icon(ownPath)));
}

function when(version) {
  const at = version.pushed || version.created || version.before;
  if (!at) return el('span', { className: 'when' }, version.digest ? '' : 'not looked at yet');
  const exact = new Date(at).toLocaleString();
  const time = (text, data) => el('time', { dateTime: new Date(at).toISOString(), data }, text);
  if (version.pushed) return el('span', { className: 'when', title: `Pushed ${exact}` }, time(ago(at), { at }));
  if (version.created) return el('span', { className: 'when', title: `Made ${exact}, as it says itself` }, 'made ', time(ago(at), { at }));
  return el('span', { className: 'when', title: `It was here already when this server first looked, ${exact}` }, 'before ', time(moment(at), {}));
}

function size(version) {
  const text = version.size ? bytes(version.size) : '';
  return el('span', { className: 'size', title: version.size ? 'Size of its layers in the registry, compressed' : '' }, text);
}

function files(version) {
  if (version.problem) return el('span', { className: 'files bad', title: version.problem }, 'not a site');
  const title = version.files ? `${bytes(version.bytes)} in all` : 'Counted once somebody has opened it';
  return el('span', { className: 'files', title }, version.files ? count(version.files, 'file') : version.manifest ? '– files' : '');
}

function address(version) {
  if (!version.digest) return el('span', { className: 'digest' });
  return el('span', { className: 'digest' },
    el('a', {
      href: link(`${version.repo}@${version.digest}`), data: { key: 'digest' },
      title: `${version.digest}\nan address that can never change`, 'aria-label': `By digest ${version.digest.slice(7, 19)}`,
    }, version.digest.slice(7, 15)),
    navigator.clipboard ? el('button', {
      type: 'button', className: 'copy', data: { key: 'copy' }, 'aria-label': 'Copy the digest', title: 'Copy the digest',
      onclick: (event) => copy(event.currentTarget, version.digest),
    }, icon(copyPath)) : null);
}

const copyPath = 'M5.5 5.5h7v8h-7z M3.5 10.5v-8h7';
const donePath = 'M3.5 8.5l3 3 6-7';
const ownPath = 'M6 4.5h5.5v5.5 M11.5 4.5l-7 7';
const openPath = 'M6 4l4 4-4 4';

async function copy(button, text) {
  await navigator.clipboard.writeText(text);
  button.replaceChildren(icon(donePath));
  setTimeout(() => button.replaceChildren(icon(copyPath)), 1200);
}

function changes(item, context) {
  const version = item.version;
  if (!version.manifest || context.others(version).length === 0) return el('span', { className: 'changes' });
  const box = item.lastElementChild;
  const button = el('button', {
    type: 'button', className: 'changes', data: { key: 'changes' }, 'aria-expanded': String(!box.hidden), 'aria-label': `Changes of ${version.tags[0].name}`,
    onclick: () => {
      box.hidden = !box.hidden;
      button.setAttribute('aria-expanded', String(!box.hidden));
      if (!box.hidden) panel(box, item.version, context);
    },
  }, icon(openPath), 'Changes');
  return button;
}

/** Brings "3 minutes ago" up to date. */
export function tick(list) {
  const now = Date.now();
  for (const node of list.querySelectorAll('time[data-at]')) node.textContent = ago(Number(node.dataset.at), now);
}

/** What is shown when there is nothing. */
export function nothing(query) {
  if (query) return [el('p', { className: 'nothing' }, 'Nothing is called ', el('q', {}, visible(query)), '.')];
  const registry = document.getElementById('registry').textContent;
  return [el('div', { className: 'nothing' },
    el('p', {}, 'There are no sites yet. A folder becomes one like this:'),
    el('pre', {}, `bundle v1 --dir public\nupload v1 ${registry || 'localhost:5000'}/my-app`),
    el('p', {}, 'It appears here by itself.'))];
}
