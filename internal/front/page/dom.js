// What the page is built with. All text goes through textContent, so that no
// name can be anything but text.

/** Makes an element with properties, attributes (those with a hyphen) and children. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null) continue;
    if (name.includes('-') || name === 'role') node.setAttribute(name, value);
    else if (name === 'data') Object.assign(node.dataset, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/**
 * Shows items as the children of parent, in their order. What was made for a key
 * stays, with its focus and all that is open in it; update brings it up to date.
 */
export function keyed(parent, items, make, update) {
  const known = parent.known ?? new Map();
  const shown = new Map(items.map((item) => [item.key, known.get(item.key) ?? make(item)]));
  for (const [key, node] of known) if (!shown.has(key)) node.remove(); // first, so that little has to move
  let at = parent.firstElementChild;
  for (const item of items) {
    const node = shown.get(item.key);
    update(node, item);
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
  parent.known = shown;
}

/** Presses a button when it comes near. */
export function pressNear(button) {
  const seen = new IntersectionObserver((entries) => {
    if (entries.at(-1).isIntersecting) button.click();
  }, { rootMargin: '800px' });
  seen.observe(button);
}

const svg = 'http://www.w3.org/2000/svg';

/** A drawing of one line on a field of 16 by 16. */
export function icon(path) {
  const drawing = document.createElementNS(svg, 'svg');
  const line = document.createElementNS(svg, 'path');
  for (const [name, value] of Object.entries({ viewBox: '0 0 16 16', width: 14, height: 14, 'aria-hidden': true })) drawing.setAttribute(name, value);
  for (const [name, value] of Object.entries({ d: path, fill: 'none', stroke: 'currentColor', 'stroke-width': 1.5, 'stroke-linecap': 'round', 'stroke-linejoin': 'round' })) line.setAttribute(name, value);
  drawing.append(line);
  return drawing;
}

const units = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Writes a number of bytes for people, as the commands do. */
export function bytes(n) {
  let unit = 0;
  while (n >= 999.95 && unit < units.length - 1) [n, unit] = [n / 1000, unit + 1];
  return `${unit === 0 ? n : n.toFixed(1)} ${units[unit]}`;
}

const numbers = new Intl.NumberFormat('en');

/** Writes "1 file", "2,000 files". */
export const count = (n, one, many = `${one}s`) => `${numbers.format(n)} ${n === 1 ? one : many}`;

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const steps = [[60, 'second'], [60, 'minute'], [24, 'hour'], [30, 'day'], [12, 'month'], [Infinity, 'year']];

/** Writes how long ago a time is. */
export function ago(time, now = Date.now()) {
  let n = (time - now) / 1000;
  if (n > -5) return 'just now';
  for (const [size, unit] of steps) {
    if (Math.abs(n) < size) return relative.format(Math.round(n), unit);
    n /= size;
  }
}

const sameYear = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const otherYear = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', year: 'numeric' });

/** Writes a point in time, shortly. */
export const moment = (time) => (new Date(time).getFullYear() === new Date().getFullYear() ? sameYear : otherYear).format(time);

// What turns the direction of text around, or cannot be seen, is written out.
const odd = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** A name from elsewhere as it can be shown. */
export const visible = (name) => name.replace(odd, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
